"""The ladder of quality: what each rule asks, what was found, and the grade that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

GRADES = ("none", "bronze", "silver", "gold", "platinum")


class Verdict(StrEnum):
    """What the suite found about one claim or rule. Only ``SHOWN`` and ``EXEMPT`` count for it."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    REFUTED = "refuted"
    UNCLAIMED = "unclaimed"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the ladder. ``asks`` is what is expected; ``advice`` what to change and where, if it does not hold.

    In ``advice`` stand the places of one plugin: ``{at}`` is the hook that was tried, ``{adapter}``, ``{conformance}``,
    ``{quality}`` and ``{folder}`` are files. ``untried`` says what it means that nothing tried the rule. Of some rules
    a system may be exempt.
    """

    name: str
    grade: str
    asks: str
    advice: str
    exemptible: bool = False
    untried: str = "not tried: the run ended before it; mend first what failed above"


LADDER: tuple[Rule, ...] = (
    Rule("installs", "bronze", "the plugin loads and its hooks are well-formed", "{adapter}: mend what is named"),
    Rule(
        "settings_checked",
        "bronze",
        "wrong settings are refused with the path of what is wrong",
        "{adapter}, its Settings: give each setting a marshmallow field that refuses what can't be right",
    ),
    Rule(
        "check_says_what_to_do",
        "bronze",
        "check() passes where all is well, and else says what to do",
        "{adapter}, check(): raise NotSent or Misconfigured with a text that names the setting or the address",
        exemptible=True,
    ),
    Rule(
        "hooks_pass",
        "bronze",
        "each hook that is implemented does what its spec says, against the simulator",
        "{at}; or the request in {conformance}, if the system was right to answer so",
    ),
    Rule(
        "readme",
        "bronze",
        "there is a README",
        "{folder}/README.md: say what the adapter sends, and what the system can't do",
    ),
    Rule(
        "traits_proved",
        "silver",
        "each trait that is claimed was shown",
        "{adapter}, traits: claim less; or make the claim true of both {at} and the simulator",
    ),
    Rule(
        "outcome_classes",
        "silver",
        "the outcome is classed rightly under each fault, and no effect is doubled",
        "{at}: answer only what is known: all that comes after the first byte and is no trustworthy answer is "
        "OutcomeUnknown; send nothing twice, and let no HTTP library do so (retries, redirects)",
    ),
    Rule(
        "declined_codes_listed",
        "silver",
        "refusals are values with a reason and a code, and change nothing",
        "{at}: map the codes that you know to DeclineReason; show one in declines() of {conformance}",
    ),
    Rule(
        "no_secret_leaks",
        "silver",
        "no secret and no personal datum in logs, errors, answers or the adapter's store",
        "{adapter}: log and raise with numbers of ours only; keep no code, no phone, no password; a recorded message: "
        "name its fields that hold personal data in AdapterTraits(hidden=…)",
    ),
    Rule(
        "tenants_apart",
        "silver",
        "two merchants' connections in one process touch only their own system",
        "{at}: keep all state in the instance: no globals, no module state, no shared files",
    ),
    Rule(
        "parsers_raise_parse_error",
        "silver",
        "spoilt answers never make the adapter raise an error of its own",
        "{at}, and the parsers that it uses: check what is read, raise ParseError (InvalidReply in a hook)",
    ),
    Rule(
        "no_person_needed",
        "gold",
        "each fault ends by asking, repeating or undoing",
        "{adapter}: implement the family's query hook, or make {at} idempotent; where the system leaves no other way, "
        "say why in [exempt] of {quality}",
        exemptible=True,
    ),
    Rule(
        "survives_kill",
        "gold",
        "killed at any send, a change has happened once or not at all, and the next process finds out which",
        "{at}: send our key with each change, and look it up before sending again",
    ),
    Rule(
        "source_to_reconcile",
        "gold",
        "a statement shows each change under our key or its number, with the right amount",
        "{adapter}: the family's statement hook must tell of {at}; where the system lists nothing, say so in [exempt] "
        "of {quality}",
        exemptible=True,
    ),
    Rule(
        "kinds_of_sale",
        "gold",
        "every kind of sale that a checkout can come to is booked with its sums, or refused as such",
        "{at}: book tenders, fees, points, rounding and discounts as the request tells them; what the system has no "
        "place for: Declined, or NotSupported before anything was sent",
    ),
    Rule(
        "cost_per_call",
        "gold",
        "no hook costs more messages or time than quality.toml says",
        "{at}: send fewer messages; or write what was measured into [cost] of {quality}, knowing that checkouts get "
        "slower",
    ),
    Rule(
        "foreign_system",
        "platinum",
        "proved against the vendor's sandbox or a system that nobody here wrote",
        'run the suite on the system itself (a profile with `foreign`: docs/conformance.md, "A real system instead of '
        "a simulator\"), or your tests against the vendor's sandbox with `pytest --junitxml=FILE`, and name FILE in "
        "[shown.foreign_system] of {quality}",
        untried="not tried: this run was on the plugin's own simulator, which does what its author believes of the "
        "system; gold needs no more",
    ),
    Rule(
        "recorded_traffic",
        "platinum",
        "recorded traffic of a real system is replayed in a test",
        "record with `gateway record` (it masks), replay it in a test, and name the file in [shown.recorded_traffic] "
        "of {quality}",
        untried="not tried: no recording of the real system is named; gold needs none",
    ),
    Rule(
        "docs_in_two_languages",
        "platinum",
        "README.md and README.zh.md",
        "{folder}/README.zh.md: the README in Chinese",
        untried="not tried: there is no README.zh.md beside README.md; gold needs none",
    ),
)
RULES: Mapping[str, Rule] = {rule.name: rule for rule in LADDER}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried: for which rule, on which hook, what (a trait, a fault), and what was seen.

    ``expected`` and ``change`` replace what the rule says of all its findings: what should have been seen, and what to
    change where.
    """

    rule: str
    verdict: Verdict
    hook: str = ""
    subject: str = ""
    why: str = ""
    expected: str = ""
    change: str = ""

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.hook, self.subject)))
        return f"{where}: {self.why}" if where else self.why


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule stands: ``pass``, ``fail``, ``exempt`` or ``untried``, why, and the finding that speaks loudest."""

    rule: Rule
    state: str
    why: str = ""
    finding: Finding | None = None

    @property
    def holds(self) -> bool:
        return self.state in ("pass", "exempt")


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look in one plugin, as a person finds it: ``src/bakery/adapter.py:88, points_earn()``."""

    adapter: str = "adapter.py"
    conformance: str = "conformance.py"
    folder: str = "."
    hooks: Mapping[str, str] = field(default_factory=dict)

    def of(self, hook: str) -> Mapping[str, str]:
        """What stands for the places in a rule's advice, if ``hook`` was tried; the adapter if none was."""
        return {
            "adapter": self.adapter,
            "conformance": self.conformance,
            "quality": f"{self.folder}/quality.toml",
            "folder": self.folder,
            "at": self.hooks.get(hook, self.adapter),
        }


@dataclass(slots=True)
class Report:
    """What one run found of one adapter."""

    adapter: str
    plugin: str
    quick: bool
    claimed_grade: str
    #: Whether it was tried on a system that nobody here wrote, and not on a simulator.
    real: bool = False
    findings: list[Finding] = field(default_factory=list)
    exemptions: Mapping[str, str] = field(default_factory=dict)
    hooks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    #: The hooks that this run was limited to; it can give no grade then.
    only: tuple[str, ...] = ()
    #: Where things stand in this plugin: files by what they are, hooks by their name.
    places: Places = field(default_factory=Places)

    def add(self, rule: str, verdict: Verdict, hook: str = "", subject: str = "", why: str = "") -> None:
        self.findings.append(Finding(rule, verdict, hook, subject, why))

    def shown(self, rule: str, hook: str = "", subject: str = "", why: str = "") -> None:
        self.add(rule, Verdict.SHOWN, hook, subject, why)

    def not_shown(self, rule: str, hook: str = "", subject: str = "", why: str = "", change: str = "") -> None:
        self.findings.append(Finding(rule, Verdict.NOT_SHOWN, hook, subject, why, change=change))

    def refuted(self, rule: str, hook: str = "", subject: str = "", why: str = "") -> None:
        self.add(rule, Verdict.REFUTED, hook, subject, why)

    def standing(self, rule: Rule) -> Standing:
        """How a rule stands. A refutation of a rule that allows no exemption can't be excused."""
        own = [finding for finding in self.findings if finding.rule == rule.name]
        bad = [f for f in own if f.verdict in (Verdict.REFUTED, Verdict.NOT_SHOWN)]
        reason = self.exemptions.get(rule.name, "")
        if reason and rule.exemptible:
            return Standing(rule, "exempt", reason)
        if bad:
            worst = sorted(bad, key=lambda finding: finding.verdict is not Verdict.REFUTED)
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            return Standing(rule, "fail", f"{worst[0].verdict}: {worst[0]}{more}", worst[0])
        good = [finding for finding in own if finding.verdict in (Verdict.SHOWN, Verdict.EXEMPT)]
        if not good:
            return Standing(rule, "untried", rule.untried)
        if all(finding.verdict is Verdict.EXEMPT for finding in good):
            return Standing(rule, "exempt", good[0].why)
        return Standing(rule, "pass", next((f.why for f in good if f.why and not f.hook), ""))

    @property
    def standings(self) -> list[Standing]:
        return [self.standing(rule) for rule in LADDER]

    @property
    def grade(self) -> str:
        """The highest grade of which, and below which, every rule holds."""
        reached = "none"
        for grade in GRADES[1:]:
            if not all(s.holds for s in self.standings if s.rule.grade == grade):
                return reached
            reached = grade
        return reached

    @property
    def refutations(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict is Verdict.REFUTED]

    @property
    def ok(self) -> bool:
        """Whether the grade is the one claimed, or better, and no claim was refuted; of some hooks only the latter."""
        reached = bool(self.only) or GRADES.index(self.grade) >= GRADES.index(self.claimed_grade)
        return reached and not self.unexcused

    @property
    def unexcused(self) -> list[Finding]:
        """What was refuted and is not excused by an exemption."""
        excused = {name for name in self.exemptions if name in RULES and RULES[name].exemptible}
        return [finding for finding in self.refutations if finding.rule not in excused]

    @property
    def next_step(self) -> str:
        """What stands in the way of the next grade: what was seen, what was expected, what to change where."""
        for standing in self.standings:
            if not standing.holds and (standing.finding is not None or not self.only):
                return self.hint(standing)
        return "the whole run, which gives the grade" if self.only else "nothing: it is platinum"

    def hint(self, standing: Standing) -> str:
        """What to do about a rule that does not hold; four lines."""
        rule, finding = standing.rule, standing.finding
        places = self.places.of(finding.hook if finding else "")
        expected = ((finding.expected if finding else "") or rule.asks).format_map(places)
        change = ((finding.change if finding else "") or rule.advice).format_map(places)
        return (
            f"for {rule.grade}, {rule.name}\n  seen:     {standing.why}\n  expected: {expected}\n  change:   {change}"
        )
