"""Plug-ins: imported before a space is validated, found from any folder, refused in
one sentence."""

import os
import sys

import pytest

from mtsearch.commands.run import main
from mtsearch.config import plugins
from mtsearch.config.errors import BadInput
from mtsearch.config.listing import listing
from mtsearch.config.plugins import absolute_plugins, checksums, load_plugins, parse_plugins
from mtsearch.config.reading import load_space
from mtsearch.config.registry import methods
from mtsearch.config.space import Space

pytestmark = pytest.mark.usefixtures("forget_plugins")
METHOD = '''
from typing import Literal

from mtsearch.config.base import Model
from mtsearch.config.registry import method


@method("balancing", "{name}")
class Settings(Model):
    """A balancing method from outside."""

    name: Literal["{name}"] = "{name}"
'''
SPACE = """
data: {{dataset: patches10_digits}}
objectives: [val/image/error, val/digit/error]
plugins: [{plugin}]
trial: {{balancing: {name}}}
"""


@pytest.fixture
def plugin(tmp_path):
    """`plugin(name)` writes a file that registers the balancing method of that name."""

    def write(name, text=METHOD):
        path = tmp_path / f"{name}.py"
        path.write_text(text.format(name=name))
        return path

    return write


def refused(*entries):
    with pytest.raises(BadInput) as caught:
        load_plugins(entries)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


def test_plugins_beside_the_space_are_found(plugin, tmp_path, monkeypatch):
    plugin("beside")
    (tmp_path / "mine.yaml").write_text(SPACE.format(plugin="beside.py", name="beside"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    space = load_space("../mine.yaml")
    assert space.trial().balancing.name == "beside"
    assert space.config.plugins == (str(tmp_path / "beside.py"),)
    assert Space.from_yaml(space.to_yaml()).config.plugins == space.config.plugins
    assert "A balancing method from outside." in listing()


def test_overrides_name_plugins_from_the_working_folder(plugin, tmp_path, monkeypatch):
    plugin("cwd")
    monkeypatch.chdir(tmp_path)
    space = load_space("pareto_cm", ["plugins=[cwd.py]", "trial.balancing=cwd"])
    assert space.trial().balancing.name == "cwd" and space.raw["plugins"] == [
        str(tmp_path / "cwd.py")
    ]
    assert load_space("pareto_cm", ["plugins=cwd.py"]).raw["plugins"] == [str(tmp_path / "cwd.py")]


def test_a_profile_may_bring_plugins(plugin, tmp_path):
    plugin("profiled")
    text = (
        SPACE.format(plugin="", name="linear")
        + "profiles: {with: {plugins: [profiled.py], trial: {balancing: profiled}}}\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    assert (
        load_space(str(tmp_path / "mine.yaml"), profile="with").trial().balancing.name == "profiled"
    )


def test_a_module_is_named_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "outside_package").mkdir()
    (tmp_path / "outside_package" / "__init__.py").write_text("")
    (tmp_path / "outside_package" / "balances.py").write_text(METHOD.format(name="packaged"))
    monkeypatch.syspath_prepend(tmp_path)
    load_plugins(["outside_package.balances"])
    assert "packaged" in methods("balancing")
    assert "outside_package.none" in refused("outside_package.none") and "does not find" in refused(
        "outside_package.none"
    )


def test_a_plugin_is_read_once_in_a_process(plugin):
    path = plugin("once", "import builtins\nbuiltins.{name} = getattr(builtins, '{name}', 0) + 1\n")
    import builtins

    load_plugins([str(path), str(path)])
    load_plugins([str(path)])
    assert builtins.once == 1
    del builtins.once


def test_a_broken_plugin_gets_one_sentence(plugin, tmp_path):
    assert "names a file that does not exist: nowhere.py" in refused("nowhere.py")
    assert "does not find here: `no_such_module`" in refused("no_such_module")
    broken = plugin("broken", "x = 1\n\ny = 1 / 0  # {name}\n")
    assert (
        refused(str(broken))
        == f"the plug-in {broken} raises ZeroDivisionError at line 3: division by zero."
    )
    assert refused(str(broken)), "a plug-in that failed is read again"
    assert "raises SyntaxError at line 2" in refused(str(plugin("typo", "x = 1\ndef {name}(:\n")))
    assert "raises ModuleNotFoundError at line 1: No module named 'nothing_like_it'" in refused(
        str(plugin("lacks", "import nothing_like_it"))
    )
    assert "raises SystemExit" in refused(str(plugin("leaves", "raise SystemExit")))


def test_a_name_registered_twice_is_refused(plugin):
    taken = plugin("taken", METHOD.format(name="linear"))
    text = refused(str(taken))
    assert "the balancing `linear` of mtsearch_plugin_taken_" in text
    assert "already taken by mtsearch.config.balancing.LinearConfig. Give it another name" in text
    assert methods("balancing")["linear"].__module__ == "mtsearch.config.balancing"


def test_plugins_are_a_list_of_names():
    assert (
        absolute_plugins(None) == []
        and absolute_plugins("a.b") == ["a.b"]
        and parse_plugins("[a.b, c]") == ["a.b", "c"]
    )
    for wrong in ({"a": 1}, [1], [""], 3):
        with pytest.raises(BadInput, match="`plugins` should list modules and Python files"):
            absolute_plugins(wrong)
    with pytest.raises(BadInput, match="is not valid YAML"):
        parse_plugins("[a")


def test_a_changed_file_has_another_checksum(plugin):
    path = plugin("summed")
    load_plugins([str(path)])
    before = checksums([str(path)])
    path.write_text(path.read_text() + "# changed\n")
    assert set(before) == {"summed.py"} and checksums([str(path)]) != before


def test_installed_packages_bring_plugins_by_entry_points(plugin, tmp_path, monkeypatch):
    plugin("installed_plugin", METHOD.format(name="installed"))
    info = tmp_path / "some_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-methods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mtsearch.plugins]\nmine = installed_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_done", False)
    load_plugins()
    assert "installed" in methods("balancing")
    (info / "entry_points.txt").write_text("[mtsearch.plugins]\nbad = bad_plugin\n")
    plugin("bad_plugin", "raise RuntimeError('no {name}\\nat all')")
    monkeypatch.setattr(plugins, "_done", False)
    text = refused()
    assert (
        text
        == "the plug-in `bad_plugin` of the installed package some-methods raises RuntimeError at"
        " line 1: no bad_plugin. Update or uninstall some-methods."
    )


def test_list_shows_the_methods_of_plugins(plugin, capsys):
    path = plugin("listed")
    assert main(["--list", f"plugins=[{path}]"]) == 0
    assert "listed" in capsys.readouterr().out
    assert main(["--list", "plugins=[nowhere.py]"]) == 2
    assert "nowhere.py" in capsys.readouterr().err
    assert main(["--list", "trial.seed=3"]) == 2


def test_a_changed_plugin_is_read_again(tmp_path, forget_plugins):
    """Its size is the same, so that Python's cache of bytecode would take it for unchanged."""
    file = tmp_path / "fresh.py"
    for value in ("one", "two"):
        file.write_text(f"VALUE = '{value}'\n")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        load_plugins([str(file)])
        (module,) = (m for m in sys.modules.values() if getattr(m, "__file__", None) == str(file))
        assert value == module.VALUE
        forget_plugins()
    assert [path.name for path in tmp_path.iterdir()] == ["fresh.py"]


def test_folder_without_code_is_no_plugin(tmp_path, monkeypatch):
    (tmp_path / "only_a_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert refused("only_a_folder").startswith("`plugins` names a folder without `__init__.py`")
