"""``key=value`` words: numbers, texts, switches and what is refused."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.overrides import parse_override, parse_value, split_pairs, text_kind
from mtsearch.config.reading import load_space
from mtsearch.runs.commands import text

FILE = "data: {dataset: cifar10_mnist}\nobjectives: [val/image/error]\ndelta_m: null\n"
ADAM = "trial: {optimizer: adam}\n"


def from_both(tmp_path, key, value):
    """The spaces that take `key` from the command line and from a file."""
    *path, last = key.split(".")
    line = "".join(f"{part}: {{" for part in path) + f"{last}: {value}" + "}" * len(path)
    if "optimizer." in key:
        line = line.replace("{lr:", "{name: adam, lr:")
    (tmp_path / "own.yaml").write_text(f"{FILE}{line}\n")
    (tmp_path / "bare.yaml").write_text(f"{FILE}{ADAM}")
    yield lambda: load_space(str(tmp_path / "bare.yaml"), [f"{key}={value}"])
    yield lambda: load_space(str(tmp_path / "own.yaml"))


@pytest.mark.parametrize(("text", "value"), [("008", 8), ("010", 10), ("0", 0), ("+7", 7)])
def test_whole_numbers_are_decimal(tmp_path, text, value):
    for load in from_both(tmp_path, "search.seed", text):
        assert load().config.search.seed == value


@pytest.mark.parametrize("text", ["0o17", "0x1F", "0b1", "1_000", "1:30", "'8'", '"8"', "1e", "１"])
def test_other_forms_of_numbers_are_refused(tmp_path, text):
    for load in from_both(tmp_path, "search.seed", text):
        with pytest.raises(BadInput, match=r"`search.seed` should be a (whole )?number"):
            load()


@pytest.mark.parametrize("text", ["1_0.0", "0x1p3", "'1e-3'", "nan", "inf", "1:30.5"])
def test_other_forms_of_fractions_are_refused(tmp_path, text):
    for load in from_both(tmp_path, "trial.optimizer.lr", text):
        with pytest.raises(BadInput, match=r"`trial.optimizer.lr` should be a (finite )?number"):
            load()


@pytest.mark.parametrize("text", ["[0.9, '0.99']", "[0x1, 0.9]", "[0.9, true]"])
def test_numbers_in_lists_are_checked(tmp_path, text):
    for load in from_both(tmp_path, "trial.optimizer", f"{{name: adam, betas: {text}}}"):
        with pytest.raises(BadInput, match=r"`trial.optimizer.betas\[[01]\]` should be a number"):
            load()


@pytest.mark.parametrize("text", ["0.001", "1e-3", "1.0e-3", "1E-3", ".001", "10e-4"])
def test_fractions_in_decimal_notation(tmp_path, text):
    for load in from_both(tmp_path, "trial.optimizer.lr", text):
        assert load().trial().optimizer.lr == 0.001


@pytest.mark.parametrize(
    ("text", "hint"), [("yes", "true"), ("On", "true"), ("no", "false"), ("off", "false")]
)
def test_switches_are_true_or_false(tmp_path, text, hint):
    for load in from_both(tmp_path, "trial.augment.flip", text):
        with pytest.raises(BadInput, match=f"`trial.augment.flip` should be .* Write `{hint}`"):
            load()
    for load in from_both(tmp_path, "trial.augment.flip", "true"):
        assert load().trial().augment.flip is True


@pytest.mark.parametrize("text", ["no", "off", "false", "No", "null"])
def test_a_method_is_switched_off_by_its_name(tmp_path, text):
    for load in from_both(tmp_path, "trial.sparsity", text):
        with pytest.raises(BadInput, match=r"`trial.sparsity` .* Write `none` to switch it off"):
            load()
    if text != "null":
        for load in from_both(tmp_path, "trial.population", text):
            with pytest.raises(BadInput, match=r"`trial.population` .* Write `null` to switch"):
                load()
    for load in from_both(tmp_path, "trial.sparsity", "none"):
        assert load().trial().sparsity.mode == "none"


@pytest.mark.parametrize(
    "text",
    """/d/upper #2|1.0|true|a: b|[x|{a|- a|*a|&a|!a|%a|@a|it's|0012|0x10|2026-01-01|no|a'b|'a' b
    |x\\y| a|a |é|#1""".replace("\n    ", "").split("|"),
)
def test_a_text_without_quotes_is_taken_whole(text):
    config = load_space("pareto_cm", [f"data.root={text}", f"results.root={text}"]).config
    assert str(config.data.root) == text and config.results.root == text
    again = load_space("pareto_cm", [f"data.root={text}"])
    assert str(type(again).from_yaml(again.to_yaml()).config.data.root) == text


@pytest.mark.parametrize("text", ["'/d/upper #2'", '"/d/upper #2"'])
def test_quotes_around_a_text_are_removed(text):
    assert str(load_space("pareto_cm", [f"data.root={text}"]).config.data.root) == "/d/upper #2"


def test_null_is_none_for_optional_texts():
    assert load_space("pareto_cm", ["delta_m=null"]).config.delta_m is None
    assert load_space("pareto_cm", ["delta_m='null'"]).config.delta_m == "null"
    assert load_space("pareto_cm", ["name=null"]).config.name == "null"


def test_texts_are_known_by_their_keys():
    assert text_kind(["data", "root"]) == "optional" and text_kind(["data", "dataset"]) == "text"
    assert text_kind(["trial", "backbone", "model"]) == "text"
    assert text_kind(["controls", "stl", "select"]) == "text"
    assert text_kind(["trial", "population", "target"]) == "optional"
    for key in (
        "trial",
        "trial.seed",
        "trial.batch_size",
        "controls.a",
        "data",
        "no.such",
        "plugins",
    ):
        assert text_kind(key.split(".")) is None


@pytest.mark.parametrize("pair", ["data.root=\udc80", "trial.\udc80=1", "trial.select=\ud800|"])
def test_bytes_that_are_no_text_are_refused(pair):
    for call in (lambda: parse_override(pair), lambda: split_pairs([pair], ("space",))):
        with pytest.raises(BadInput, match="arguments should be UTF-8 text"):
            call()


def test_a_comment_in_a_value_is_refused():
    with pytest.raises(BadInput, match=r"the value of `trial.seed` contains a comment"):
        load_space("pareto_cm", ["trial.seed=3 #2"])


def test_duplicate_keys_are_refused(tmp_path):
    with pytest.raises(BadInput, match="has the key `lr` twice"):
        parse_override("trial.optimizer={lr: 0.1, lr: 0.2}")
    (tmp_path / "own.yaml").write_text(f"{FILE}trial: {{seed: 1}}\ntrial: {{clip: 1}}\n")
    with pytest.raises(BadInput, match=r"has the key `trial` twice .* \(line 5\)"):
        load_space(str(tmp_path / "own.yaml"))


def test_the_last_of_repeated_overrides_counts():
    space = load_space("pareto_cm", ["trial.seed=1", "trial.seed=2"])
    assert space.trial().seed == 2
    with pytest.raises(BadInput, match="`space` is given twice"):
        split_pairs(["space=a", "space=b"], ("space",))


def test_references_cannot_blow_up_or_run_in_circles():
    words = ["name=${name}"]
    with pytest.raises(BadInput, match="`name` refers to itself"):
        load_space("pareto_cm", words)
    chain = [f"controls.k{i}={{a: '${{controls.k{i + 1}.a}}' }}" for i in range(60)]
    with pytest.raises(BadInput, match="more than 40 keys refer to each other"):
        load_space("pareto_cm", [*chain, "controls.k60={a: 1}"])
    many = ["".join(f"${{controls.k{i + 1}.a}}" for _ in range(9)) for i in range(20)]
    double = [f"controls.k{i}={{a: '{text}'}}" for i, text in enumerate(many)]
    with pytest.raises(BadInput, match="the result has more than 100,000 values"):
        load_space("pareto_cm", [*double, f"controls.k20={{a: {'x' * 99}}}"])


def test_references_keep_their_types():
    space = load_space(
        "pareto_cm", ["trial.seed=${search.trials}", "notes=n ${trial.seed} ${name}"]
    )
    assert space.trial().seed == 24 and space.config.notes == "n 24 pareto_cm"


def test_unreadable_spaces_get_one_sentence(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "nul.yaml").write_bytes(b"name: a\0")
    for name, part in [
        ("folder.yaml", "Found a folder"),
        ("nul.yaml", "NUL byte"),
        ("none.yaml", "names a file that does not exist"),
        ("x" * 300, "unknown space"),
        ("x" * 300 + ".yaml", "names a file that does not exist"),
        ("a\0b", "unknown space"),
    ]:
        with pytest.raises(BadInput, match=part):
            load_space(f"{tmp_path}/{name}" if "." in name else name)


@pytest.mark.parametrize("value", ["null", "'q'", '"', "a #b", "", "x: y", "[z", "no", "é", "1e3"])
def test_written_words_are_read_back(value):
    word = text(value)
    assert parse_value("data.root", word, "optional") == value
    tree = {value: [value, {"a": value}, 1e-05, True, None]}
    assert parse_value("trial.x", text(tree)) == tree
