"""Plugins are found by entry points, allow-listed, each loaded in isolation; what fails is named with its reason."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from gateway.runtime import Runtime, discover
from gateway.runtime.discovery import DISTRIBUTION, Found, find
from gateway.sdk import Adapter, Done, EmbeddedAdapter, Settings, Traits, hookimpl
from tests.runtime.kit import HouseAdapter, PayAdapter, call, charge, plugin, running, write_config

ROOT = Path(__file__).parents[2]


def module(name: str, **names: Any) -> Found:
    """A plugin module with these names in it."""
    made = ModuleType(f"test_module_{name}")
    vars(made).update(names)
    sys.modules[made.__name__] = made
    return Found(name, made.__name__, DISTRIBUTION)


def reason(*adapters: type, distribution: str = DISTRIBUTION) -> str:
    """Why a plugin with these adapters is refused, ``""`` if it is not."""
    found = plugin("tried", *adapters, distribution=distribution)
    return discover(("tried",), [found]).failed.get("tried", "")


def with_hook(name: str, function: Callable[..., Any], **more: Any) -> type[Adapter]:
    """An adapter class with one hook."""
    return type("OddAdapter", (Adapter,), {"name": "odd", name: function, **more})


def test_one_that_fails_to_import_is_named_and_the_others_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_syntax.py").write_text("def (:\n")
    (tmp_path / "plugin_exits.py").write_text("raise SystemExit(2)\n")
    (tmp_path / "plugin_lacks.py").write_text("import no_such_driver\n")
    monkeypatch.syspath_prepend(tmp_path)
    bad = [Found(name, f"plugin_{name}", DISTRIBUTION) for name in ("syntax", "exits", "lacks")]
    discovery = discover(entry_points=[*bad, plugin("pay", PayAdapter), plugin("house", HouseAdapter)])
    assert list(discovery.loaded) == ["house", "pay"]
    assert "SyntaxError" in discovery.failed["syntax"] and "SystemExit" in discovery.failed["exits"]
    assert discovery.failed["lacks"] == "does not import: ModuleNotFoundError: No module named 'no_such_driver'"
    with running(write_config(tmp_path, "m1"), discovery) as runtime:
        answer = runtime.connection("m1", "pay").change("payment_charge", charge(), call())
    assert answer == Done(ref="T1", amount=500)


def test_a_merchant_of_a_plugin_that_failed_is_told_so_and_others_go_on(tmp_path: Path) -> None:
    """One missing driver must not stop the gateway of all other merchants."""
    from gateway.runtime.health import health
    from gateway.sdk import Misconfigured

    gone = Found("house", "no_such_module", DISTRIBUTION)
    discovery = discover(entry_points=[gone, plugin("pay", PayAdapter)])
    file = write_config(tmp_path, "m1")
    text = (tmp_path / "merchants" / "m1.toml").read_text()
    (tmp_path / "merchants" / "m1.toml").write_text(text.replace("settings", "#settings", 1))
    with running(file, discovery) as runtime:
        house = runtime.route("m1", "stock")
        assert house is not None and house.capabilities["hooks"] == {}
        assert house.has("stock_reserve"), "a sale must not go on without its stock because a driver is missing"
        with pytest.raises(Misconfigured, match="plugin house did not load: does not import"):
            house.change("stock_reserve", None, call())
        assert runtime.connection("m1", "pay").change("payment_charge", charge(), call())
        told = {facts.connection: facts for facts in health(runtime).down}
        assert "house-test" in told["house"].problem and not health(runtime).ok


def test_only_what_is_allowed_is_imported() -> None:
    own, unasked = plugin("pay", PayAdapter), Found("evil", "no_such_module", "evil-plugin")
    other = plugin("vendor", distribution="vendor-plugin")
    assert list(discover(entry_points=[own, other, unasked]).loaded) == ["pay"]
    both = discover(("first-party", "vendor"), [own, other, unasked])
    assert list(both.loaded) == ["pay", "vendor"] and both.ignored == ("evil",) and both.failed == {}
    assert list(discover(("vendor",), [own, other]).loaded) == ["vendor"]
    assert discover(("first-party", "nil"), [own]).failed == {"nil": "is not installed"}


def test_names_are_refused_when_they_stand_twice() -> None:
    twin = Found("pay", "test_plugin_pay", "other-plugin")
    failed = discover(("first-party", "pay"), [plugin("pay", PayAdapter), twin]).failed
    assert "declared more than once" in failed["pay"] and "other-plugin" in failed["pay"]
    again = discover(entry_points=[plugin("a", PayAdapter), plugin("b", PayAdapter)])
    assert list(again.loaded) == ["a"] and "from plugin 'a'" in again.failed["b"]


def test_plugins_come_in_a_fixed_order_first_party_first() -> None:
    found = [plugin("z", HouseAdapter), plugin("b", PayAdapter)]
    third = Found("a", module("third", o2o_event=hookimpl(lambda event: None)).value, "vendor-plugin")
    for order in (found, found[::-1]):
        assert list(discover(("first-party", "a"), [third, *order]).loaded) == ["b", "z", "a"]


def test_embedded_adapters_come_only_with_the_gateway() -> None:
    assert reason(HouseAdapter) == ""
    assert "may be embedded" in reason(HouseAdapter, distribution="vendor-plugin")


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        (with_hook("payment_chrage", hookimpl(lambda self, request, call: None)), "did you mean 'payment_charge'?"),
        (with_hook("payment_charge", hookimpl(lambda self, request: None)), "expected the arguments (request, call)"),
        (with_hook("payment_charge", hookimpl(lambda self, req, call: None)), "found (req, call)"),
        (with_hook("payment_charge", hookimpl(lambda self, request, call, **more: None)), "expected the arguments"),
        (with_hook("payment_charge", hookimpl(lambda self, *, request, call: None)), "expected the arguments"),
        (with_hook("payment_charge", hookimpl(lambda self, request, call=None: None)), "'call' has a default"),
        (with_hook("payment_charge", lambda self, request, call: None), "has no @hookimpl"),
        (with_hook("payment_charge", staticmethod(hookimpl(lambda request, call: None))), "must be a plain method"),
        (with_hook("payment_charge", hookimpl(tryfirst=True)(lambda self, request, call: None)), "tryfirst"),
        (with_hook("payment_charge", hookimpl(trylast=True)(lambda self, request, call: None)), "trylast"),
        (with_hook("charge", hookimpl(specname="payment_charge")(lambda self, request, call: None)), "no such hook"),
    ],
)
def test_a_hook_that_would_not_do_what_it_seems_is_refused(adapter: type[Adapter], told: str) -> None:
    text = reason(adapter)
    assert told in text and text.startswith("OddAdapter.")


def test_async_generators_and_wrappers_are_refused() -> None:
    async def coroutine(self: Any, request: Any, call: Any) -> None: ...

    def generator(self: Any, request: Any, call: Any) -> Any:
        yield

    assert "is async" in reason(with_hook("payment_charge", hookimpl(coroutine)))
    assert "is a generator" in reason(with_hook("payment_charge", hookimpl(generator)))
    assert "wrapper" in reason(with_hook("payment_charge", hookimpl(wrapper=True)(generator)))
    assert "hookwrapper" in reason(with_hook("payment_charge", hookimpl(hookwrapper=True)(generator)))


def test_an_inherited_hook_is_checked_and_counts() -> None:
    class Child(PayAdapter):
        name = "child"

    assert reason(Child) == ""
    assert "payment_charge" in discover(("tried",), [plugin("tried", Child)]).adapters["child"].__mro__[1].__dict__


class _NoHooks(Adapter):
    name = "none"


class _Lenient(Adapter):
    name = "lenient"

    class Settings(Settings):
        class Meta:
            unknown = "include"

    order_query = PayAdapter.payment_query


class _OddTraits(PayAdapter):
    name = "traits"
    traits: ClassVar = {"payment_chrge": Traits(), "payment_charge": {"idempotent": True}}


class _NoName(PayAdapter):
    name = ""


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        (_NoHooks, "implements no hook"),
        (_Lenient, "must refuse unknown keys"),
        (_OddTraits, "no such hook 'payment_chrge'; did you mean 'payment_charge'?"),
        (_OddTraits, "traits['payment_charge']: expected Traits"),
        (_NoName, "_NoName.name"),
        (type("Bare", (), {}), "is no subclass of gateway.sdk.Adapter"),
    ],
)
def test_a_class_that_breaks_the_contract_is_refused(adapter: type, told: str) -> None:
    assert told in reason(adapter)


def test_process_hooks_are_checked_and_isolated() -> None:
    seen: list[Any] = []

    def broken(event: Any) -> None:
        raise RuntimeError

    discovery = discover(
        entry_points=[
            module("a", o2o_event=hookimpl(broken), o2o_health=hookimpl(lambda: {"x": 1})),
            module("b", o2o_event=hookimpl(lambda event: seen.append(event))),
            module("c", o2o_evnt=hookimpl(lambda event: None)),
            module("d"),
            module("e", o2o_event=hookimpl(lambda evt: None)),
            module("f", o2o_adapters=hookimpl(lambda: 1 // 0)),
        ]
    )
    listeners = discovery.listeners()
    assert list(listeners) == ["a", "b"]
    listeners["b"]({"id": "evt_1"})
    assert seen == [{"id": "evt_1"}]
    assert discovery.health() == {"a": {"x": 1}}
    assert "did you mean 'o2o_event'" in discovery.failed["c"]
    assert "implements none of o2o_adapters" in discovery.failed["d"]
    assert "expected the arguments (event)" in discovery.failed["e"]
    assert discovery.failed["f"].startswith("o2o_adapters raised ZeroDivisionError")


def test_the_tables_of_embedded_adapters_are_known() -> None:
    discovery = discover(entry_points=[plugin("pay", PayAdapter), plugin("house", HouseAdapter)])
    assert discovery.migrations == HouseAdapter.migrations
    assert issubclass(discovery.adapters["house-test"], EmbeddedAdapter)


def test_a_bare_checkout_finds_what_an_installed_one_does(tmp_path: Path) -> None:
    """Run without the installed metadata, the entry points come from ``plugins/entry_points.txt``."""
    script = textwrap.dedent(
        """
        import importlib.metadata, sys
        from importlib.metadata import distributions as real
        import gateway.runtime.discovery as d
        d.distributions = lambda: [x for x in real() if (x.name or "").lower() != "o2o-gateway"]
        def gone(name): raise importlib.metadata.PackageNotFoundError(name)
        d.distribution = gone
        print(*sorted((f.name, f.value, f.distribution) for f in d.find()))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    expected = sorted((f.name, f.value, f.distribution) for f in find() if f.distribution == DISTRIBUTION)
    assert expected and done.stdout.split("\n")[0] == " ".join(map(str, expected))


def test_capabilities_are_derived_from_the_hooks(runtime: Runtime) -> None:
    found = runtime.connection("m1", "pay").capabilities
    assert found["families"] == ["membership", "payments"] and found["currencies"] == ["CNY"]
    assert found["hooks"]["payment_charge"] == {
        "queryable": True,
        "reversible": False,
        "idempotent": True,
        "max_in_flight_s": 30,
    }
    house = runtime.connection("m1", "house")
    assert house.embedded and not house.queryable("stock_reserve")
    assert runtime.connection("m1", "pay").traits("payment_charge").idempotent
    assert runtime.connection("m1", "pay").about.max_parallel == 2
