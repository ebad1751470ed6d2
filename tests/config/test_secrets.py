"""Settings that hold a secret are refused, and the secret is not repeated."""

import pytest

from mtsearch.commands.run import main
from mtsearch.config.errors import BadInput
from mtsearch.config.overrides import split_pairs
from mtsearch.config.reading import load_space
from mtsearch.config.secrets import find_secret, refuse_secrets
from mtsearch.config.space import Space

SECRETS = [
    "s3://key:hunter2@bucket/prefix",
    "sftp://me:hunter2@host/x",
    "postgresql+psycopg2://me:hunter2@host:5432/db",
    "https://hunter2hunter2@host/mlflow",
    "http://me:pa/ss?hunter2@host/x",
    "https://host/x?token=hunter2",
    "https://host/x?a=1&access_token=hunter2",
    "https://host/x?X-Amz-Signature=hunter2&b=2",
    "https://account.blob.core.windows.net/c?sv=1&sig=hunter2",
    "https://host/#id_token=hunter2",
    "https://host/x?API-KEY=hunter2",
    "see https://me:hunter2@host for more",
    "ghp_hunter2" + "a" * 30,
    "hf_hunter2" + "A" * 30,
    "AKIA" + "A1" * 8,
]
HARMLESS = [
    "s3://bucket/prefix",
    "s3://bucket/a:b@c",
    "abfs://container@account.dfs.core.windows.net/x",
    "ssh://git@host/x",
    "http://127.0.0.1:5000",
    "http://localhost:5000/a@b",
    "http://host:5000?a@b",
    "https://host/x?page=2&sort=key",
    "/data/user:me@home",
    "val/image/error",
    "me@example.org",
    "the token `a` of a URL such as s3://BUCKET/PREFIX",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_found(text):
    assert find_secret(text) is not None and "hunter2" not in str(find_secret(text))


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_are_taken(text):
    assert find_secret(text) is None


@pytest.mark.parametrize("key", ["results.root", "data.root", "data.store", "name", "delta_m"])
def test_overrides_with_secrets_are_refused(key, capsys):
    assert main(["space=pareto_cm", f"{key}=s3://key:hunter2@bucket/x"]) == 2
    error = capsys.readouterr().err
    assert f"`{key}` contains a URL with a password" in error and "hunter2" not in error


@pytest.mark.parametrize("word", ["resume=s3://a:hunter2@b/c", "space=s3://a:hunter2@b/c"])
def test_own_keys_with_secrets_are_refused(word, capsys):
    assert main([word]) == 2
    assert "hunter2" not in capsys.readouterr().err


def test_secrets_in_any_setting_of_a_space_are_refused():
    raw = load_space("pareto_cm").raw
    observer = [{"name": "mlflow", "uri": "https://me:hunter2@host"}]
    with pytest.raises(
        BadInput, match=r"`monitor\[0\].uri` contains a URL with a password"
    ) as caught:
        Space({**raw, "monitor": observer})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(BadInput, match="`notes` contains a URL with a secret"):
        Space({**raw, "notes": "see https://host/?token=hunter2"})
    with pytest.raises(BadInput, match="a key of `a` contains a URL"):
        refuse_secrets({"a": {"s3://x:hunter2@y": 1}})


def test_words_without_a_key_are_not_repeated_with_their_secret():
    with pytest.raises(BadInput) as refused:
        split_pairs(["https://user:secret@host"], ("space",))
    assert "secret@" not in str(refused.value) and "URL with a password" in str(refused.value)
