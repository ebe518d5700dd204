"""Every mistake in a configuration file is told with the file, the key and what was expected, all at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.engine.model import Timing
from gateway.runtime import ConfigError, Discovery, discover, load_config, read_gateway
from gateway.runtime.config import load_merchant
from gateway.sdk import Adapter, AdapterTraits, PathField, SecretField, Settings, hookimpl
from tests.runtime.kit import plugin, write_config

ROOT = Path(__file__).parents[2]


class PlainAdapter(Adapter):
    """Speaks plain text, knows yuan, wants a file and a secret."""

    name = "plain"
    about = AdapterTraits(insecure_transport=True)

    class Settings(Settings):
        key = SecretField(required=True)
        folder = PathField(required=True)

    @hookimpl
    def order_query(self, request):  # type: ignore[no-untyped-def]
        raise NotImplementedError


class BrokenSchemaAdapter(Adapter):
    name = "broken-schema"

    class Settings(Settings):
        def load(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            raise RuntimeError("secret-4711")

    @hookimpl
    def order_query(self, request):  # type: ignore[no-untyped-def]
        raise NotImplementedError


@pytest.fixture(scope="module")
def plain() -> Discovery:
    return discover(entry_points=[plugin("plain", PlainAdapter, BrokenSchemaAdapter)])


def problems(folder: Path, text: str, discovery: Discovery) -> dict[str, str]:
    """Path and text of what is wrong in a merchant's file."""
    file = folder / "m.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_merchant(file, discovery)
    assert {problem.file for problem in caught.value.problems} <= {file, folder / "campaigns.toml"}
    return {problem.path: problem.text for problem in caught.value.problems}


HEAD = '[merchant]\nid = "m1"\nname = "Shop"\n[[stores]]\nid = "s1"\nname = "One"\n'


def test_all_mistakes_are_told_at_once(tmp_path: Path, discovery: Discovery) -> None:
    found = problems(
        tmp_path,
        """
        [merchant]
        id = "a b"
        nme = "Shop"
        timezone = "Asia/Nowhere"
        business_day_ends = "25:00"
        acquirer_fee_bp = "60"
        [[stores]]
        id = "s1"
        name = "One"
        latitude = 31.2
        hours = ["10-22"]
        [[stores.counters]]
        id = "K1"
        name = "Shoes"
        deduction_bp = 10001
        guarantee_amount = 1.5
        [connections.till]
        adapter = "pay"
        insecure_transport = "yes"
        [connections.other]
        adapter = "pay"
        settings = { port = "no", keys = "x" }
        [[routes]]
        family = "payment"
        connection = "till"
        code_pattern = "^9["
        [pricing]
        mode = "both"
        [pricing.points]
        pay = { points = 100, amount = 100 }
        rule = { points = 100, amont = 100 }
        [policy]
        when_down = { points = "maybe" }
        [[payment_codes]]
        prefix_from = "50"
        prefix_to = "49"
        length_min = 18
        length_max = 18
        channel = "x"
        """,
        discovery,
    )
    assert set(found) == {
        "merchant.id",
        "merchant.nme",
        "merchant.name",
        "merchant.timezone",
        "merchant.business_day_ends",
        "merchant.acquirer_fee_bp",
        "stores[0].longitude",
        "stores[0].hours[0]",
        "stores[0].counters[0].deduction_bp",
        "stores[0].counters[0].guarantee_amount",
        "connections.till.insecure_transport",
        "connections.other.settings.port",
        "connections.other.settings.keys",
        "routes[0].family",
        "routes[0].code_pattern",
        "pricing.mode",
        "pricing.points.pay",
        "pricing.points.rule.amont",
        "pricing.points.rule.amount",
        "policy.when_down.points",
        "payment_codes[0].prefix_to",
    }
    assert found["merchant.nme"].startswith("unknown key; did you mean 'name'? expected one of: ")
    assert found["merchant.name"] == "missing; this key is required"
    assert found["connections.other.settings.port"] == "expected a whole number"
    assert "did you mean 'key'" in found["connections.other.settings.keys"]
    assert found["pricing.points.pay"] == "unknown key; expected one of: earn, rule"
    assert "did you mean 'amount'" in found["pricing.points.rule.amont"]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (HEAD + '[[stores]]\nid="s1"\nname="Twin"\n', "stores", "more than once: s1"),
        (HEAD + 'tills=["1","1"]\n', "stores[0].tills", "more than once: 1"),
        (HEAD + '[[routes]]\nfamily="stock"\nconnection="nil"\n', "routes[0].connection", "no connection 'nil'"),
        (
            HEAD + '[connections.p]\nadapter="pay"\n[[routes]]\nfamily="stock"\nconnection="p"\n',
            "routes[0].family",
            "adapter 'pay' implements no hook of the family 'stock'",
        ),
        (
            HEAD + '[connections.p]\nadapter="pay"\n[[routes]]\nfamily="payments"\nconnection="p"\nstores=["s9"]\n',
            "routes[0].stores",
            "no store 's9'",
        ),
        (
            HEAD + '[connections.p]\nadapter="pai"\n',
            "connections.p.adapter",
            "no adapter 'pai' is installed; there are",
        ),
        (HEAD + "[connections.p]\n", "connections.p.adapter", "missing"),
        (HEAD + "[connections]\np = 5\n", "connections.p", "expected a table"),
        (HEAD + '[connections.p]\nadapter="pay"\nsettings=[]\n', "connections.p.settings", "expected a table"),
        ("connections = 5\n" + HEAD, "connections", "expected a table"),
        (HEAD + "[pricing.stores.s9]\nmode='till'\n", "pricing.stores.s9", "no such store"),
        (
            HEAD.replace("name", 'currency="USD"\nname', 1) + '[connections.p]\nadapter="pay"\n',
            "connections.p.adapter",
            "CNY, not USD",
        ),
        ("[merchant", "", "is not TOML: "),
    ],
)
def test_what_contradicts_itself_is_told(
    tmp_path: Path, discovery: Discovery, text: str, path: str, expected: str
) -> None:
    found = problems(tmp_path, text, discovery)
    assert expected in found[path]


def test_a_secret_is_a_reference_and_never_repeated(
    tmp_path: Path, plain: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    head = HEAD + '[connections.p]\nadapter="plain"\ninsecure_transport=true\nsettings={folder="x",key='
    for value, expected in (
        ('"hunter2"', "expected a reference"),
        ('"env:NO_SUCH"', "NO_SUCH is not set"),
        ('"file:key.txt"', "cannot read"),
        ("5", "expected a reference"),
    ):
        found = problems(tmp_path, head + value + "}\n", plain)
        assert expected in found["connections.p.settings.key"]
        assert "hunter2" not in str(found)
    (tmp_path / "key.txt").write_text("hunter2\n")
    (tmp_path / "key.txt").chmod(0o644)
    assert "chmod 600" in problems(tmp_path, head + '"file:key.txt"}\n', plain)["connections.p.settings.key"]


def test_paths_start_at_the_merchants_file_and_secrets_are_resolved(tmp_path: Path, plain: Discovery) -> None:
    (tmp_path / "key.txt").write_text("hunter2\n")
    (tmp_path / "key.txt").chmod(0o600)
    file = tmp_path / "m.toml"
    table = '[connections.p]\nadapter="plain"\ninsecure_transport=true\nsettings={folder="drop",key="file:key.txt"}\n'
    file.write_text(HEAD + table)
    settings = load_merchant(file, plain).connections["p"].settings
    assert settings["folder"] == tmp_path / "drop" and settings["key"].reveal() == "hunter2"
    assert "hunter2" not in repr(load_merchant(file, plain))


def test_plain_text_must_be_said_by_the_merchant(tmp_path: Path, plain: Discovery) -> None:
    (tmp_path / "key.txt").write_text("x")
    (tmp_path / "key.txt").chmod(0o600)
    table = '[connections.p]\nadapter="plain"\nsettings={folder="drop",key="file:key.txt"}\n'
    found = problems(tmp_path, HEAD + table, plain)
    assert "insecure_transport = true" in found["connections.p.insecure_transport"]


def test_a_schema_that_breaks_is_a_problem_of_that_connection(tmp_path: Path, plain: Discovery) -> None:
    found = problems(tmp_path, HEAD + '[connections.p]\nadapter="broken-schema"\n', plain)
    assert found == {"connections.p.settings": "the schema of adapter 'broken-schema' broke: RuntimeError"}


def test_campaigns_may_stand_in_a_file_of_their_own(tmp_path: Path, discovery: Discovery) -> None:
    file = tmp_path / "m.toml"
    file.write_text(HEAD + '[pricing]\ncampaigns = "campaigns.toml"\nfees = [{kind="minimum_spend", amount=100}]\n')
    (tmp_path / "campaigns.toml").write_text('[[campaigns]]\nid = "c1"\nwhen = { from = 2014-03-08 }\n')
    pricing = load_merchant(file, discovery).pricing
    assert pricing.campaigns == ({"id": "c1", "when": {"from": "2014-03-08"}},)
    assert pricing.fees == ({"kind": "minimum_spend", "amount": 100},)
    (tmp_path / "campaigns.toml").write_text("[[campaign]]\n")
    assert "expected [[campaigns]]" in problems(tmp_path, file.read_text(), discovery)["campaign"]
    (tmp_path / "campaigns.toml").unlink()
    assert "cannot be read" in problems(tmp_path, file.read_text(), discovery)[""]


def test_who_prices_is_set_by_merchant_and_store(tmp_path: Path, discovery: Discovery) -> None:
    file = tmp_path / "m.toml"
    file.write_text(HEAD + '[pricing]\nmode="till"\ntill_wins=true\n[pricing.stores.s1]\nmode="compare"\n')
    pricing = load_merchant(file, discovery).pricing
    assert (pricing.mode_of("s1"), pricing.mode_of("s2")) == ("compare", "till")
    assert pricing.till_wins_in("s1")


def test_a_merchant_twice_and_a_file_that_is_not_there(tmp_path: Path, discovery: Discovery) -> None:
    file = write_config(tmp_path, "m1")
    (tmp_path / "merchants" / "again.toml").write_text((tmp_path / "merchants" / "m1.toml").read_text())
    file.write_text('merchants = ["merchants", "missing.toml"]\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file, discovery)
    told = {problem.path: problem.text for problem in caught.value.problems}
    assert "is configured in" in told["merchant.id"] and "is not there" in told["merchants[1]"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[sever]\n", "sever"),
        ("[server]\nport = 70000\n", "server.port"),
        ("[engine]\nlease_s = 0\n", "engine.lease_s"),
        ("[engine]\nlease = 5\n", "engine.lease"),
        ('[database]\nurl = "mysql://x"\n', "database.url"),
        ('[database]\nurl = "env:NO_SUCH_DATABASE"\n', "database.url"),
        ('merchants = "x"\n', "merchants"),
        ("[webhooks]\nallow_hosts = [5]\n", "webhooks.allow_hosts[0]"),
    ],
)
def test_mistakes_in_the_gateways_own_file(tmp_path: Path, text: str, path: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_gateway(file)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert str(caught.value).startswith(f"{file}: {path}: ")


def test_paths_of_the_gateways_file_start_at_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('data = "var"\n')
    config = read_gateway(file)
    assert config.data == tmp_path / "var" and config.database.url == f"sqlite:///{tmp_path}/var/gateway.db"
    file.write_text('[database]\nurl = "sqlite:///x.db"\nbusy_seconds = 2\n')
    assert read_gateway(file).database.url == f"sqlite:///{tmp_path}/x.db"
    assert read_gateway(file).database.settings == {"busy_seconds": 2.0}
    monkeypatch.setenv("GATEWAY_TEST_URL", "postgresql://u:pw@h/d")
    file.write_text('[database]\nurl = "env:GATEWAY_TEST_URL"\n')
    assert read_gateway(file).database.url == "postgresql://u:pw@h/d"
    assert "pw" not in repr(read_gateway(file))


def test_the_file_that_is_shipped_states_the_defaults(tmp_path: Path) -> None:
    """It is the reference of the keys: what it says and what the program does must be the same."""
    empty = tmp_path / "gateway.toml"
    empty.write_text("")
    shipped, default = read_gateway(ROOT / "config" / "gateway.toml"), read_gateway(empty)
    assert shipped.server == default.server and shipped.engine == default.engine
    assert shipped.plugins_allow == default.plugins_allow and shipped.payment_codes == default.payment_codes
    assert shipped.data == Path(os.path.normpath(ROOT / "data"))


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path, discovery: Discovery) -> None:
    file = tmp_path / "m.toml"
    file.write_text(HEAD)
    merchant = load_merchant(file, discovery)
    assert (merchant.currency, merchant.timezone.key, merchant.business_day_ends) == ("CNY", "Asia/Shanghai", "00:00")
    assert merchant.policy.reserve_ttl_s == 900 and merchant.stores["s1"].coordinate_system == "WGS-84"


def test_the_engines_times_have_the_names_that_the_file_gives_them(tmp_path: Path) -> None:
    """``[engine]`` is where each of them is set: one that is missing there could not be scaled."""
    file = tmp_path / "gateway.toml"
    file.write_text("[engine]\nlease_s = 0.25\nscale = 0.1\n")
    timing = Timing(**read_gateway(file).engine.milliseconds())
    assert (timing.lease, timing.scale) == (250, 0.1)
    file.write_text("")
    assert Timing(**read_gateway(file).engine.milliseconds()) == Timing()
