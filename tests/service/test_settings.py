"""`driftline.yaml`, the environment and keys."""

import hmac
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from service.domain.configuration import ModelConfiguration
from service.domain.yaml_tree import read_yaml
from service.settings import (
    VARIABLES,
    AuthSettings,
    KeyRing,
    KeySettings,
    ServerSettings,
    Settings,
    SettingsError,
    StoreSettings,
    fault_in,
    generate_key,
    hash_key,
    load_settings,
    presented_key,
    settings_schema,
)
from service.settings.documents import LimitSettings
from service.settings.faults import faults_of

HASH = "sha256:" + "ab" * 32
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound


@pytest.fixture
def load(tmp_path):
    def load_(text, **environment):
        path = tmp_path / "driftline.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_settings(path, environment)

    return load_


@pytest.fixture
def faults(load, tmp_path):
    def faults_(text, **environment):
        with pytest.raises(SettingsError) as refused:
            load(text, **environment)
        assert str(refused.value) == "\n".join(refused.value.faults)
        return [fault.replace(f"{tmp_path}/", "") for fault in refused.value.faults]

    return faults_


# YAML


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# nothing", None),
        ("~", None),
        ("a: 1\nb: [x, {c: 2.5}]", {"a": 1, "b": ["x", {"c": 2.5}]}),
        (
            "2011: a\n1.0: b\nyes: c\nnull: d\n2012-01-01: e",
            {"2011": "a", "1.0": "b", "yes": "c", "null": "d", "2012-01-01": "e"},
        ),
        ("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}", {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}),
        (
            "a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}",
            {"a": {"p": 1}, "b": {"p": 2, "q": 2}, "c": {"p": 1, "q": 2}},
        ),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_yaml_is_read(text, data):
    tree = read_yaml(text)

    assert (tree.data, tree.faults) == (data, ())


def test_every_key_and_item_has_its_line():
    tree = read_yaml("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\ne: &e\n  f: 1\ng:\n  <<: *e\n  h: 1\n")

    assert tree.lines == {
        ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d"): 5,
        ("e",): 6, ("e", "f"): 7, ("g",): 8, ("g", "f"): 7, ("g", "h"): 10,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: [1", 2, "not YAML"),
        ("a: 1\n---\nb: 1", 2, "not YAML"),
        ("a: *nobody", 1, "not YAML"),
        ("\x00", None, "not YAML"),
        ("[" * 5000, None, "not YAML"),
        ("a: " + "[" * 60 + "]" * 60, None, "nested too deeply"),
        ("a: &a [*a]", None, "nested too deeply"),
        ("a: &a {<<: *a}", None, "nested too deeply"),
        ("a: 1\nb: 2\na: 3", 3, "repeats a key"),
        ("a:\n  - b: 1\n    b: 2", 3, "repeats a key"),
        ("a: !!python/object/apply:os.system [x]", 1, "a tag that is not known"),
        ("a: !secret x", 1, "a value that cannot be read"),
        ("a: " + "9" * 5000, 1, "a value that cannot be read"),
        ("a: 2012-99-99", 1, "a value that cannot be read"),
        ("? [a]\n: 1", 1, "a key that is not text"),
        ("<<: 1", 1, "<< wants a mapping"),
        ("<<: [1]", 1, "<< wants a mapping"),
    ],
)
def test_faulty_yaml_is_told_by_line(text, line, message):
    (fault,) = read_yaml(text).faults

    assert fault.line == line
    assert fault.text.startswith(message)


@pytest.mark.parametrize(
    "form", ["[*%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s]", "{<<: [*%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s]}"]
)
def test_aliases_of_aliases_are_bounded(form):
    leaf = "{k: 1}" if "<<" in form else "[lol]"
    lines = [f"a0: &a0 {leaf}", *(f"a{n}: &a{n} {form % ((f'a{n - 1}',) * 9)}" for n in range(1, 12))]

    (fault,) = read_yaml("\n".join(lines)).faults

    assert "more values than any configuration has" in fault.text


def test_a_repeated_key_behind_an_alias_is_told_once():
    tree = read_yaml("a: &a {x: 1, x: 2}\nb: *a\nc: *a")

    assert [fault.line for fault in tree.faults] == [1]


# The file


FULL = f"""
server: {{host: 0.0.0.0, port: 0, ops_address: "[::]:9090", readiness: sidecar, root_path: /drift}}
store: {{path: data/counts.db, durability: power}}
auth:
  keys:
    - {{name: sidecar, hash: "{HASH}", scopes: [ingest], models: [bikes]}}
    - {{name: ops, hash: "sha256:{"cd" * 32}", scopes: [read, admin, metrics]}}
limits:
  body_bytes_max: 8MiB
  json_rows_max: 500
  idempotency_retention: 2d
  unknown_models: learn
targets:
  ci: {{url: "https://ci.example/hook", secrets: [{{env: CI_SECRET}}]}}
  github: {{preset: github, repository: acme/models, token: {{file: /run/secrets/github}}}}
models:
  bikes:
    default_version: "2011"
    time_zone: America/New_York
    notify: [ci]
    triggers: [{{target: github, cool_down: 14d}}]
    metrics: {{statistics: [psi, wasserstein]}}
    versions:
      2011: {{reference: refs/bikes.json, id: "{HASH}"}}
      2012: {{reference: "https://store.example/bikes.json.gz"}}
      2013:
  learner:
"""


def test_a_full_file_is_read(load, tmp_path):
    settings = load(FULL)

    assert settings.server.port == 0
    assert settings.store.path == tmp_path / "data/counts.db"
    assert [key.name for key in settings.auth.keys] == ["sidecar", "ops"]
    assert settings.auth.keys[0].models == {"bikes"}
    assert settings.limits.body_bytes_max == 8 << 20
    assert settings.targets["ci"].secrets[0].env == "CI_SECRET"
    bikes = settings.models["bikes"]
    assert bikes.versions["2011"].reference == str(tmp_path / "refs/bikes.json")
    assert not bikes.versions["2011"].is_url
    assert bikes.versions["2012"].is_url
    assert bikes.versions["2013"].reference is None
    assert type(bikes.configuration) is ModelConfiguration
    assert bikes.configuration.model_dump() == bikes.model_dump(exclude={"versions"})
    assert settings.models["learner"].versions == {}


def test_null_is_the_default_where_there_may_be_nothing(load):
    settings = load("server: {ops_address: null}\nmodels: {m: {versions: {v: {reference: null, id: null}}}}")

    assert settings.server.ops_address is None
    assert settings.models["m"].versions["v"].reference is None


@pytest.mark.parametrize("text", ["", "# all of it\n", "limits:\nmodels:\nauth:\nstore:\n", "{}"])
def test_an_empty_file_is_the_defaults(load, text):
    assert load(text) == Settings() == load_settings(None, {})


def test_absolute_paths_and_addresses_are_left_as_they_are(load):
    settings = load("store: {path: /data/d.db}\nmodels: {m: {versions: {v: {reference: /refs/r.json}}}}")

    assert settings.store.path == Path("/data/d.db")
    assert settings.models["m"].versions["v"].reference == "/refs/r.json"


def test_a_store_that_is_a_directory_holds_the_database(tmp_path):
    assert StoreSettings(path=tmp_path).database == tmp_path / "driftline.db"
    assert StoreSettings(path=tmp_path / "x.db").database == tmp_path / "x.db"


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache",
        "redis://cache:6379/",
        "redis://cache:6379/2",
        "rediss://drift@cache.example:6380/0",
        "redis://[::1]:6379/0",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://s1:26379,s2:26379/primary/0",
        "rediss+cluster://drift@c1:6379,c2:6379",
    ],
)
def test_a_store_may_be_a_redis(load, url):
    settings = load(f"store: {{url: '{url}'}}", DRIFTLINE_STORE_PASSWORD="secret")  # noqa: S106 - no secret

    assert settings.store.url == settings.store.place == url


@pytest.mark.parametrize("url", ["http://centre:8080", "https://driftline.example/behind/a/proxy"])
def test_a_store_may_be_a_central_driftline(load, url):
    settings = load(f"store: {{url: '{url}'}}", DRIFTLINE_STORE_KEY="secret")

    assert settings.store.is_upstream
    assert settings.store.place == url


def test_a_sidecar_has_no_models_and_targets_of_its_own(faults):
    found = faults(
        "store: {url: 'http://centre:8080'}\nmodels: {m: {}}\n"
        "targets: {ci: {url: 'https://example.com/hook'}}\nserver: {host: 127.0.0.1}"
    )

    assert [fault.split(": ", 1)[1].split(":")[0] for fault in found] == ["models", "targets"]


def test_without_a_redis_the_place_is_the_database(load, tmp_path):
    assert load("store: {url: null, path: x.db}").store.place == str(tmp_path / "x.db")


@pytest.mark.parametrize(
    "url", ["http://", "https://someone@centre", "https://centre?key=planted-secret", "http://c#x", "http://[x"]
)
def test_other_addresses_of_a_centre_and_keys_in_them_are_refused(faults, url):
    (fault,) = faults(f"store: {{url: '{url}'}}")

    assert "wanted the http(s)://HOST:PORT of a central Driftline" in fault
    assert "planted-secret" not in fault


def test_a_faulty_address_of_a_store_is_told_of_without_the_password_in_it(faults):
    (fault,) = faults("store: {url: 'redis://drift:planted-secret@cache'}")

    assert "store.url: no password stands in an address: DRIFTLINE_STORE_PASSWORD has it" in fault
    assert "planted-secret" not in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{url: 'redis://c', tls_ca_file: ca.pem}", "store.tls_ca_file: is of no use: store.url is without TLS"),
        ("{url: 'rediss://c', tls_key_file: k.pem}", "store.tls_key_file: wanted store.tls_certificate_file with it"),
        ("{url: 'redis://c', sentinel_password_file: p}", "store.sentinel_password_file: is of no use"),
        (
            "{url: 'redis+cluster://c', replicas_acknowledge: 1}",
            "store.replicas_acknowledge: cannot be had of a cluster",
        ),
    ],
)
def test_settings_that_an_address_has_no_use_for_are_faults(faults, text, fault):
    (found,) = faults(f"store: {text}")

    assert fault in found


def test_files_beside_the_address_of_a_store_are_found_beside_the_file(load, tmp_path):
    store = load("store: {url: 'rediss://c', tls_ca_file: ca.pem, password_file: /run/secrets/redis}").store

    assert store.tls_ca_file == tmp_path / "ca.pem"
    assert store.password_file == Path("/run/secrets/redis")


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Settings().server.port = 1


def test_all_faults_are_told_at_once_each_by_line_and_path(faults):
    text = """\
server: {prot: 80, host: ""}
limits: {body_bytes_max: many, json_rows_max: 1.5, columns_max: 0}
store: [x]
models:
  bikes:
    pane: 5 minutes
    default_version: 2011
    notify: [slack]
    policy: {rows_min: none}
    metrics: {statistics: [psi, chi], columns: 5}
    versions:
      2011: {reference: "ftp://x", id: x}
      2012: {id: "HASH"}
  cars: {pane: 7m}
  cars: {base_window: 7h}
  trucks: 5
  ".": {}
targets:
  ci: {url: nowhere}
  gh: {preset: github}
""".replace("HASH", HASH)

    assert faults(text) == [
        "driftline.yaml:1: server.host: wanted at least 1 character",
        "driftline.yaml:1: server.prot: unknown setting; did you mean port?",
        "driftline.yaml:2: limits.body_bytes_max: wanted a number of bytes, or one with a unit such as 64MiB",
        "driftline.yaml:2: limits.json_rows_max: wanted a whole number",
        "driftline.yaml:2: limits.columns_max: wanted greater than or equal to 1",
        "driftline.yaml:3: store: wanted a mapping",
        "driftline.yaml:6: models.bikes.pane: wanted a duration such as 30s, 5m, 1h, 1d, 7d",
        "driftline.yaml:7: models.bikes.default_version: wanted text; numbers, dates, yes and no need quotes to be text",
        "driftline.yaml:8: models.bikes.notify.0: no target has this name",
        "driftline.yaml:9: models.bikes.policy.rows_min: wanted a whole number",
        "driftline.yaml:10: models.bikes.metrics.columns: unknown setting; did you mean columns_max?",
        "driftline.yaml:12: models.bikes.versions.2011.reference: wanted a path, or an http or https address without user and password",
        "driftline.yaml:12: models.bikes.versions.2011.id: wanted text that matches ^sha256:[0-9a-f]{64}$",
        "driftline.yaml:13: models.bikes.versions.2012.id: wanted a reference with it",
        "driftline.yaml:15: repeats a key",
        "driftline.yaml:15: models.cars.base_window: wanted a divisor of a day that is a multiple of pane, or whole days",
        "driftline.yaml:16: models.trucks: wanted a mapping",
        "driftline.yaml:17: models..: wanted a name: letters, digits, dots, dashes and underscores, a letter or digit first, at most 128",
        "driftline.yaml:19: targets.ci.url: wanted an http or https address",
        "driftline.yaml:20: targets.gh: preset github: wanted repository and token",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "driftline.yaml:1: wanted a mapping"),
        ("just text", "driftline.yaml:1: wanted a mapping"),
        ("a: [", "driftline.yaml:1: not YAML"),
        (b"server:\n  \xff", "driftline.yaml:2: not UTF-8"),
        (b"#" * ((1 << 20) + 1), "driftline.yaml: larger than 1,048,576 bytes"),
        ("modles: {}", "driftline.yaml:1: modles: unknown setting; did you mean models?"),
        ("zzz: {}", "driftline.yaml:1: zzz: unknown setting"),
        ("models: 5", "driftline.yaml:1: models: wanted a mapping"),
        ("models: {m: {versions: 5}}", "driftline.yaml:1: models.m.versions: wanted a mapping"),
        ("models: {m: {versions: {'': {}}}}", "driftline.yaml:1: models.m.versions.: wanted a name"),
        ("models: {m: {versions: {v: 5}}}", "driftline.yaml:1: models.m.versions.v: wanted a mapping"),
        ("models: {m: {versions: {v: {reference: ''}}}}", "driftline.yaml:1: models.m.versions.v.reference: wanted"),
        ("models: {m: {versions: {v: {reference: 'http://[x'}}}}", "reference: wanted a path, or an http"),
        ("models: {m: {versions: {v: {reference: 'https://u:p@x/y'}}}}", "reference: wanted a path, or an http"),
        ("models: {m: {versions: {v: {}}, default_version: w}}", "models.m.default_version: no version has this name"),
        ("models: {m: {triggers: [{target: x}]}}", "models.m.triggers.0.target: no target has this name"),
        ("models: {m: {triggers: [{}]}}", "models.m.triggers.0.target: is missing"),
        ("models: {m: {metrics: {statistics: [psy]}}}", "models.m.metrics.statistics.0: wanted one of anderson_darling,"),
        ("targets: 5", "targets: wanted a mapping"),
        ("targets: {t: {url: {env: X, file: Y}}}", "targets.t.url: wanted text; "),
        ("auth: nobody", "auth: wanted 'none'"),
        ("auth: 5", "auth: wanted a mapping"),
        ("auth: {keys: [{name: a}]}", "auth.keys.0.hash: is missing"),
        ("auth: {keys: {a: 1}}", "auth.keys: wanted a list"),
        ("server: {ops_address: 9090}", "server.ops_address: wanted text"),
        ("server: {ops_address: ':9090'}", "server.ops_address: wanted a host and a port"),
        ("server: {ops_address: 'x:99999'}", "server.ops_address: wanted a host and a port"),
        ("server: {root_path: drift}", "server.root_path: wanted text that matches"),
        ("limits: {body_bytes_max: 5 foo}", "limits.body_bytes_max: wanted a number of bytes"),
        ("limits: {models_max: 1}\nmodels: {a: , b: }", "driftline.yaml:2: models: 2 models; limits.models_max is 1"),
        ("limits: {versions_max: 1}\nmodels: {a: {versions: {x: , y: }}}", "models.a.versions: 2 versions; limits.versions_max is 1"),
    ],
)  # fmt: skip
def test_a_fault_says_where_it_is_and_what_was_wanted(faults, text, message):
    found = faults(text)

    assert message in found[0]


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SettingsError, match="cannot be read"):
            load_settings(path, {})


def test_keys_are_told_apart_by_name_and_hash(faults):
    key = f'{{name: a, hash: "{HASH}", scopes: [read]}}'

    assert faults(f"auth:\n  keys:\n    - {key}\n    - {key}") == [
        "driftline.yaml:4: auth.keys.1.name: an earlier key has the same",
        "driftline.yaml:4: auth.keys.1.hash: an earlier key has the same",
    ]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True), (EVERYWHERE, False), ("::", False), ("monitor", False), ("10.0.0.1", False)],
)  # fmt: skip
def test_without_keys_only_loopback_is_listened_on(load, faults, host, loopback):
    text = f'server: {{host: "{host}"}}'

    assert ServerSettings(host=host).loopback is loopback
    assert load(text + "\nauth: none").auth == "none"
    assert load(f'{text}\nauth: {{keys: [{{name: a, hash: "{HASH}", scopes: [read]}}]}}').server.host == host
    if loopback:
        assert load(text).auth == AuthSettings()
    else:
        (fault,) = faults(text)
        assert fault.startswith("driftline.yaml:1: server.host: without keys wanted a loopback address")


def test_faulty_keys_are_not_taken_for_none(faults):
    (fault,) = faults("server: {host: 0.0.0.0}\nauth: {keys: [{name: a, hash: x, scopes: [read]}]}")

    assert "auth.keys.0.hash" in fault


def test_no_secret_is_echoed(faults):
    secret = "hunter2-hunter2"  # noqa: S105 - it is nobody's
    text = f"""
auth: {{keys: [{{name: a, hash: {secret}, scopes: [{secret}], models: {secret}, key: {secret}}}]}}
server: {{host: [{secret}], port: {secret}, readiness: {secret}, root_path: {secret}, ops_address: {secret}}}
store: {{durability: {secret}}}
limits: {{request_timeout: {secret}, unknown_models: {secret}, body_bytes_max: 5 {secret}}}
targets:
  a: {{url: "https://user:{secret}@x", token: {secret}, secrets: [{secret}, {{env: "{secret}"}}], timeout: {secret}}}
  b: {{url: {{env: 5}}, headers: {{authorization: {secret}}}}}
models: {{m: {{time_zone: {secret}, pane: {secret}, versions: {{v: {{reference: "s3://{secret}", id: {secret}}}}}}}}}
"""

    found = "\n".join(faults(text, DRIFTLINE_AUTH=secret, DRIFTLINE_STORE_DURABILITY=secret, DRIFTLINE_PORT=secret))

    assert found.count("\n") > 15
    assert secret not in found


def test_a_fault_found_later_is_told_like_the_others(load, tmp_path):
    load(FULL)
    path = tmp_path / "driftline.yaml"

    fault = fault_in(path, ("models", "bikes", "versions", "2011", "reference"), "is not there")

    assert fault == f"{path}:24: models.bikes.versions.2011.reference: is not there"


def loaded_or_refused(path):
    """Settings, or faults; anything else is raised."""
    try:
        return load_settings(path, {})
    except SettingsError as refused:
        return refused.faults


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.sampled_from(["", "x", "5m", "none", "psi", HASH, "https://x.y"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(sorted({*Settings.model_fields, *LimitSettings.model_fields, *ModelConfiguration.model_fields, "versions", "keys", "name", "hash", "scopes", "reference", "id", "target", "env", "url", "v", "!"})),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from([*Settings.model_fields, "x"]),
        PLAIN | st.dictionaries(st.sampled_from(["m", "?"]), PLAIN),
        max_size=6,
    )
)
def test_whatever_a_file_holds_it_is_settings_or_faults(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(data))

    assert loaded_or_refused(path)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_random_bytes_are_settings_or_faults(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)

    assert loaded_or_refused(path)


def test_every_setting_says_what_it_is():
    for document in (ServerSettings, StoreSettings, LimitSettings):
        assert all(field.description for field in document.model_fields.values())


def test_the_schema_describes_the_file():
    schema = settings_schema()

    assert set(schema["properties"]) == set(Settings.model_fields)
    assert schema["$defs"]["LimitSettings"]["properties"]["body_bytes_max"]["type"] == ["integer", "string"]


def test_names_are_suggested_within_unions_lists_and_mappings():
    class Inner(BaseModel, extra="forbid"):
        colour: int = 0

    class Outer(BaseModel):
        many: list[Inner] = []
        either: Inner | int = 0

    def told(data):
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - pydantic's
            Outer.model_validate(data)
        return dict(faults_of(refused.value, data, Outer.model_json_schema()))

    assert told({"many": [{"color": 1}]}) == {("many", 0, "color"): "unknown setting; did you mean colour?"}
    assert told({"either": {"color": 1}}) == {
        ("either", "color"): "unknown setting; did you mean colour?",
        ("either",): "wanted a whole number",
    }


# The environment


def test_every_scalar_setting_has_a_variable():
    assert VARIABLES["DRIFTLINE_PORT"] == ("server", "port")
    assert VARIABLES["DRIFTLINE_STORE_PATH"] == ("store", "path")
    assert VARIABLES["DRIFTLINE_LIMITS_BODY_BYTES_MAX"] == ("limits", "body_bytes_max")
    assert set(VARIABLES.values()) == {
        *((section, name) for section in ("server", "store", "limits") for name in type(getattr(Settings(), section)).model_fields),
        ("auth",),
    }  # fmt: skip


def test_the_environment_wins_over_the_file(load, tmp_path):
    settings = load(
        "server: {port: 1}\nstore: {path: a.db}\nlimits: {json_rows_max: 7}",
        DRIFTLINE_PORT="9000",
        DRIFTLINE_STORE_PATH="b.db",
        DRIFTLINE_LIMITS_SERIES_MAX="5",
        DRIFTLINE_LIMITS_BODY_BYTES_MAX="1MiB",
        DRIFTLINE_LIMITS_UNKNOWN_MODELS="learn",
        DRIFTLINE_HOST=EVERYWHERE,
        DRIFTLINE_AUTH="none",
        DRIFTLINE_READINESS="",
        DRIFTLINE_CONFIG="driftline.yaml",
        PORT="5",
    )

    assert (settings.server.port, settings.server.readiness) == (9000, "service")
    assert settings.store.path == Path("b.db")
    assert (settings.limits.json_rows_max, settings.limits.series_max) == (7, 5)
    assert settings.limits.body_bytes_max == 1 << 20
    assert settings.limits.unknown_models == "learn"
    assert settings.auth == "none"


def test_a_faulty_variable_is_told_by_its_name(faults):
    assert faults("server: {port: 1}", DRIFTLINE_PORT="x", DRIFTLINE_HOST=EVERYWHERE) == [
        "DRIFTLINE_PORT: wanted a whole number",
        "DRIFTLINE_HOST: without keys wanted a loopback address such as 127.0.0.1; or say `auth: none`",
    ]


def test_an_unknown_variable_is_a_fault_that_names_the_nearest(faults):
    assert faults("", DRIFTLINE_STORE_PAHT="x", DRIFTLINE_ZZZZ="x") == [
        "DRIFTLINE_STORE_PAHT: unknown variable; did you mean DRIFTLINE_STORE_PATH?",
        "DRIFTLINE_ZZZZ: unknown variable",
    ]


def test_without_a_file_faults_name_variables(load):
    with pytest.raises(SettingsError, match="^DRIFTLINE_PORT: wanted less than or equal to 65535$"):
        load_settings(None, {"DRIFTLINE_PORT": "70000"})


def test_a_section_that_is_none_stays_a_fault_beside_its_variable(faults):
    assert faults("server: 5", DRIFTLINE_PORT="80") == ["driftline.yaml:1: server: wanted a mapping"]


def test_secrets_that_targets_name_are_no_unknown_variables(load, faults):
    text = "targets: {ci: {url: {env: DRIFTLINE_URL}, secrets: [{env: DRIFTLINE_A}, {env: DRIFTLINE_B}], token: {env: DRIFTLINE_C}}}"
    held = {f"DRIFTLINE_{name}": "x" for name in ("URL", "A", "B", "C")}

    assert load(text, **held).targets
    assert len(faults("", **held)) == 4


def test_variables_of_kubernetes_services_are_left_alone(load):
    settings = load(
        "",
        DRIFTLINE_SERVICE_HOST="10.0.0.1",
        DRIFTLINE_SERVICE_PORT="8080",
        DRIFTLINE_SERVICE_PORT_HTTP="8080",
        DRIFTLINE_PORT="tcp://10.0.0.1:8080",
        DRIFTLINE_PORT_8080_TCP="tcp://10.0.0.1:8080",
        DRIFTLINE_PORT_8080_TCP_PROTO="tcp",
        DRIFTLINE_PORT_8080_TCP_PORT="8080",
        DRIFTLINE_PORT_8080_TCP_ADDR="10.0.0.1",
        DRIFTLINE_METRICS_SERVICE_HOST="10.0.0.2",
        DRIFTLINE_METRICS_PORT="tcp://10.0.0.2:9090",
        DRIFTLINE_METRICS_PORT_9090_TCP_ADDR="10.0.0.2",
    )

    assert settings == Settings()


# Keys


def key(name, secret, scopes, models=None):
    return KeySettings(name=name, hash=hash_key(secret), scopes=scopes, models=models)


RING = KeyRing(
    [key("sidecar", "one", ["ingest"], ["bikes"]), key("ops", "two", ["admin", "read"]), key("prometheus", "three", ["metrics"])]
)  # fmt: skip


@pytest.mark.parametrize(
    ("presented", "scope", "model", "answer"),
    [
        ("one", "ingest", "bikes", "ok"),
        ("one", "ingest", "cars", "forbidden"),
        ("one", "ingest", None, "forbidden"),
        ("one", "read", "bikes", "forbidden"),
        ("two", "admin", None, "ok"),
        ("two", "read", "bikes", "ok"),
        ("two", "ingest", "bikes", "forbidden"),
        ("three", "metrics", None, "ok"),
        ("four", "read", None, "unknown"),
        ("ONE", "ingest", "bikes", "unknown"),
        ("", "ingest", "bikes", "unknown"),
        (None, "ingest", "bikes", "unknown"),
        ("é\udcff", "ingest", "bikes", "unknown"),
    ],
)
def test_a_key_may_do_what_it_was_given_for(presented, scope, model, answer):
    assert RING.allowed(presented, scope, model) == answer


@pytest.mark.parametrize(
    ("presented", "scope", "answer"),
    [
        ("one", "ingest", "ok"),
        ("one", "read", "forbidden"),
        ("two", "read", "ok"),
        ("two", "ingest", "forbidden"),
        ("four", "read", "unknown"),
        ("", "read", "unknown"),
        (None, "read", "unknown"),
    ],
)
def test_whether_a_key_may_do_something_with_any_model_does_not_depend_on_which(presented, scope, answer):
    assert RING.scoped(presented, scope) == answer


def test_without_keys_everybody_may_only_where_it_was_said():
    assert KeyRing([]).allowed(None, "read", None) == "unknown"
    assert KeyRing([], anonymous=True).allowed(None, "admin", None) == "ok"
    assert KeyRing([], anonymous=True).allowed("any", "ingest", "m") == "ok"
    assert KeyRing([], anonymous=True).scoped(None, "ingest") == "ok"


def test_the_hash_of_nothing_opens_nothing():
    ring = KeyRing([key("empty", "", ["read"])])

    assert ring.allowed("", "read", None) == ring.allowed(None, "read", None) == "unknown"


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "presented"),
    [
        ("Bearer abc", None, "abc"),
        ("bearer  abc ", None, "abc"),
        ("Bearer abc", "xyz", "abc"),
        ("Bearer ", "xyz", "xyz"),
        ("Basic abc", "xyz", "xyz"),
        ("Basic abc", None, None),
        (None, " xyz ", "xyz"),
        ("", "", None),
        (None, None, None),
        ("Bearer", None, None),
    ],
)
def test_a_key_is_presented_in_either_header(authorization, x_api_key, presented):
    assert presented_key(authorization, x_api_key) == presented


def test_a_key_is_made_of_chance_and_known_by_its_hash():
    made = generate_key(bytes(range(32)))

    assert re.fullmatch(r"dk_[0-9a-f]{64}", made)
    assert hash_key("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hmac.compare_digest(KeySettings(name="a", hash=hash_key(made), scopes=["read"]).hash, hash_key(made))
    with pytest.raises(ValueError, match="32 random bytes"):
        generate_key(b"short")
