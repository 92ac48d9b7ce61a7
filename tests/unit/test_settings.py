"""Settings come from a file, then the environment, then options; mistakes name their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from undertone.config_files import read_yaml
from undertone.errors import ConfigurationError
from undertone.records import Kind
from undertone.settings import FieldMapping, KafkaSettings, RawTopic, Settings, load_settings

SASL = """
kafka:
  security_protocol: SASL_SSL
  sasl_mechanism: PLAIN
  sasl_username: reader
"""


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file in the working folder, no variables of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("UNDERTONE_"):
            monkeypatch.delenv(name)


def written(text: str, name: str = "my.yaml") -> Path:
    path = Path(name).absolute()
    path.write_text(text)
    return path


def mistake(text: str = "", **options: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(written(text) if text else None, **options)
    return str(caught.value)


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_an_empty_file_is_as_none() -> None:
    assert load_settings(written("# nothing yet\n")) == Settings()


def test_undertone_yaml_here_is_read_unasked() -> None:
    written("prefix: here", "undertone.yaml")
    assert load_settings().prefix == "here"


def test_the_environment_stands_above_the_file_and_options_above_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = written("prefix: file\nkafka: {bootstrap: 'file:1', security_protocol: SSL}")
    monkeypatch.setenv("UNDERTONE_PREFIX", "environment")
    monkeypatch.setenv("UNDERTONE_KAFKA__BOOTSTRAP", "environment:2")
    read = load_settings(path)
    assert (read.prefix, read.kafka.bootstrap) == ("environment", "environment:2")
    assert read.kafka.security_protocol == "SSL"
    read = load_settings(path, prefix="option", bootstrap="option:3")
    assert (read.prefix, read.kafka.bootstrap) == ("option", "option:3")
    assert read.kafka.security_protocol == "SSL"


def test_the_environment_is_read_by_load_settings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTONE_PREFIX", "environment")
    assert Settings().prefix == "undertone"


def test_raw_topics_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTONE_RAW_TOPICS", '[{"name": "tweets", "kind": "social"}]')
    assert load_settings().effective_raw_topics == (RawTopic(name="tweets", kind=Kind.SOCIAL),)


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTONE_PREFIX", "")
    assert load_settings().prefix == "undertone"


def test_malformed_json_in_a_variable_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNDERTONE_KAFKA", '{"sasl_password": "hunter2"')
    message = mistake()
    assert message.startswith("UNDERTONE_KAFKA: is not valid JSON")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("UNDERTONE_PREFIX", "a b", "UNDERTONE_PREFIX: String should match"),
        ("UNDERTONE_WINDOWS", '["7s"]', "UNDERTONE_WINDOWS: each window must be a multiple of 10s"),
        ("UNDERTONE_MODEL__ENGINE", "gpu", "UNDERTONE_MODEL__ENGINE: Input should be 'auto'"),
        ("UNDERTONE_KAFKA__BOOTSTAP", "a:1", "UNDERTONE_KAFKA: unknown field `bootstap`; did you"),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert mistake().startswith(expected)


def test_a_wrong_option_is_named() -> None:
    assert mistake(prefix="a b").startswith("--prefix: String should match")
    assert mistake(bootstrap="http://kafka").startswith("--bootstrap: cannot read")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prefx: a", "unknown field `prefx`; did you mean `prefix`?"),
        ("kafka: {bootstrp: a}", "kafka: unknown field `bootstrp`; did you mean `bootstrap`?"),
        ("kafka: hello", "kafka: expected a mapping of fields"),
        ("- a", "expected a mapping of settings"),
        ("windows: [300]", "windows.0: cannot read 300 as a duration; expected one such as 10s"),
        ("windows: []", "windows: each window must be a multiple of 10s"),
        ("allowed_lateness: soon", "allowed_lateness: cannot read 'soon' as a duration"),
        ("metrics: {watch_port: 70000}", "metrics.watch_port: Input should be less than"),
        ("kafka: {bootstrap: 'a:1,b:x'}", "kafka.bootstrap: cannot read 'b:x' as a broker"),
        ("kafka: {security_protocol: SASL_SSL}", "kafka: security_protocol with SASL needs"),
        ("alertmanager: {url: here}", "alertmanager.url: expected an address such as"),
        ("raw_topics: [{name: a}, {name: a}]", "raw_topics: each topic may stand once; named"),
        ("raw_topics: [{name: 'a b'}]", "raw_topics.0.name: String should match"),
        (
            "raw_topics: [{name: undertone.mentions}]",
            "is a topic that undertone writes",
        ),
        ("fields: {x: {txt: a}}", "fields: unknown field `txt`; did you mean `text`?"),
        ("fields: {x: {text: {}}}", "fields.x.text: expected the name of a field"),
        ("fields: {x: {text: {field: a, const: b}}}", "fields.x.text: expected the name of a"),
        ("fields: {x: {text: 3}}", "fields.x.text: expected a mapping of fields"),
        ("prefix: a\nprefix: b", "is not valid YAML: line 2, column 1: the field `prefix` stands"),
        ("prefix: [", "is not valid YAML: line 1"),
    ],
)
def test_a_mistake_names_file_field_and_what_was_expected(text: str, expected: str) -> None:
    message = mistake(text)
    assert message.startswith(f"{Path('my.yaml').absolute()}: ")
    assert expected in message


def test_every_mistake_is_named_at_once() -> None:
    message = mistake("prefix: a b\nmentions_partitions: 0")
    assert "prefix: String should match" in message
    assert "mentions_partitions: Input should be greater" in message


def test_a_missing_or_unreadable_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: there is no such file"):
        load_settings(Path("none.yaml"))
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load_settings(Path())
    Path("latin.yaml").write_bytes("prefix: \u00e9".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"latin\.yaml: is not UTF-8 text"):
        load_settings(Path("latin.yaml"))


def test_paths_are_relative_to_their_file() -> None:
    Path("conf").mkdir()
    path = written(
        "watchlist: w.yaml\nrules: /etc/r.yaml\nkafka: {ssl_cafile: ca.pem}\nmodel: {path: ./m}",
        "conf/my.yaml",
    )
    read = load_settings(path)
    assert read.watchlist == path.parent / "w.yaml"
    assert read.rules == Path("/etc/r.yaml")
    assert read.kafka.ssl_cafile == path.parent / "ca.pem"
    assert read.model.path == str(path.parent.absolute() / "m")


def test_a_hub_name_of_a_model_is_no_path() -> None:
    assert load_settings(written("model: {path: org/name}")).model.path == "org/name"


def test_a_secret_shows_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTONE_KAFKA__SASL_PASSWORD", "hunter2")
    read = load_settings(written(SASL))
    assert read.kafka.sasl_password is not None
    assert read.kafka.sasl_password.get_secret_value() == "hunter2"
    assert "hunter2" not in f"{read!r} {read} {read.model_dump()} {read.model_dump_json()}"


@pytest.mark.parametrize(
    "text",
    [
        "kafka: {sasl_password: [hunter2]}",
        "kafka: {sasl_password: hunter2, sasl_user: a}",
        "kafka: {sasl_password: hunter2, security_protocol: SASL}",
        "kafka:\n  sasl_password: *hunter2\n",
        "kafka:\n  sasl_password: !hunter2 x\n",
        "kafka:\n  sasl_password: 'hunter2\n",
        "kafka:\n  sasl_password: x: hunter2\n",
        "kafka:\n  sasl_password: hunter2: [\n",
    ],
)
def test_a_mistake_near_a_secret_does_not_tell_it(text: str) -> None:
    assert "hunter2" not in mistake(text)


def test_a_direct_mistake_does_not_tell_a_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(sasl_password="hunter2", ssl_password="hunter2", security_protocol="X")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_brokers_are_read_without_their_spaces() -> None:
    assert load_settings(bootstrap="a:1, [::1]:2 ,c").kafka.bootstrap == "a:1,[::1]:2,c"


def test_the_default_raw_topics_follow_the_prefix() -> None:
    topics = Settings(prefix="mine").effective_raw_topics
    assert [(topic.name, topic.kind) for topic in topics] == [
        ("mine.raw.news", Kind.NEWS),
        ("mine.raw.social", Kind.SOCIAL),
    ]


def test_windows_are_ordered_and_unique() -> None:
    assert load_settings(written("windows: [1h, 5m, 60m]")).windows == (300_000, 3_600_000)


def test_a_mapping_in_short_form_names_a_field() -> None:
    read = load_settings(written("fields: {'t*': {text: full_text, source: {const: wire}}}"))
    assert read.fields == {
        "t*": {"text": FieldMapping(field="full_text"), "source": FieldMapping(const="wire")}
    }


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().prefix = "other"  # type: ignore[misc]


def test_yaml_builds_plain_data_only() -> None:
    with pytest.raises(ConfigurationError, match="is not valid YAML"):
        read_yaml(written("a: !!python/object/apply:os.getcwd []"))


def test_without_models_there_is_the_default_alone() -> None:
    assert load_settings().model_paths == {"default": None}
    assert load_settings(written("model: {path: owner/name}")).model_paths == {
        "default": "owner/name"
    }


def test_models_are_named_by_language_and_relative_to_their_file() -> None:
    path = written("models: {default: ./english, zh: ../chinese, ja: owner/name}")
    assert load_settings(path).model_paths == {
        "default": str(path.parent / "english"),
        "zh": str(path.parent / "../chinese"),
        "ja": "owner/name",
    }


def test_further_models_leave_the_default_to_model_path() -> None:
    path = written("model: {path: owner/name}\nmodels: {zh: owner/zh}")
    assert load_settings(path).model_paths == {"default": "owner/name", "zh": "owner/zh"}


def test_the_default_model_is_named_once() -> None:
    text = "model: {path: owner/name}\nmodels: {default: owner/other}"
    assert "model.path and models.default are the same setting" in mistake(text)


def test_a_language_is_a_code() -> None:
    assert "expected a language as a code such as zh" in mistake("models: {Chinese: owner/name}")


def test_models_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTONE_MODELS", '{"zh": "owner/zh"}')
    monkeypatch.setenv("UNDERTONE_MODELS__JA", "owner/ja")
    assert load_settings().model_paths == {"default": None, "zh": "owner/zh", "ja": "owner/ja"}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("url: http://me:word@grafana", "leave user and password out of the address"),
        ("user: me", "user and password go together"),
        ("{token: a-token, user: me, password: word}", "not both"),
        ("url: grafana", "expected an address"),
    ],
)
def test_grafana_takes_one_way_in_and_shows_none(section: str, said: str) -> None:
    told = mistake(f"grafana: {section}" if section[0] == "{" else f"grafana:\n  {section}\n")
    assert said in told
    assert "word" not in told.replace("password", "")


def test_what_lets_into_grafana_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTONE_GRAFANA__TOKEN", "glsa_secret")
    settings = load_settings()
    assert "secret" not in repr(settings)
    assert settings.grafana.token is not None
    assert settings.grafana.token.get_secret_value() == "glsa_secret"
