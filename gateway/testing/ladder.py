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
    """One rule of the ladder; ``advice`` is what to do where it does not hold. Of some a system may be exempt."""

    name: str
    grade: str
    asks: str
    advice: str
    exemptible: bool = False


LADDER: tuple[Rule, ...] = (
    Rule("installs", "bronze", "the plugin loads and its hooks are well-formed", "mend what hook checks name"),
    Rule(
        "settings_checked",
        "bronze",
        "wrong settings are refused with the path of what is wrong",
        "give each setting a marshmallow field that refuses what can't be right",
    ),
    Rule(
        "check_says_what_to_do",
        "bronze",
        "check() passes where all is well, and else says what to do",
        "let check() raise NotSent or Misconfigured with a text that names the setting or the address",
        exemptible=True,
    ),
    Rule(
        "hooks_pass",
        "bronze",
        "each hook that is implemented does what its spec says, against the simulator",
        "write the request that is missing in conformance.py, or mend the hook",
    ),
    Rule("readme", "bronze", "there is a README", "write README.md beside the adapter: what it sends, what it can't"),
    Rule(
        "traits_proved",
        "silver",
        "each trait that is claimed was shown",
        "claim less, or make the claim true of both adapter and simulator",
    ),
    Rule(
        "outcome_classes",
        "silver",
        "the outcome is classed rightly under each fault, and no effect is doubled",
        "answer only what is known: everything after the first byte that is no trustworthy answer is OutcomeUnknown",
    ),
    Rule(
        "declined_codes_listed",
        "silver",
        "refusals are values with a reason and a code, and change nothing",
        "map the codes that you know to DeclineReason, and show one in the profile's declines()",
    ),
    Rule(
        "no_secret_leaks",
        "silver",
        "no secret and no personal datum in logs, errors, answers or the adapter's store",
        "log and raise with numbers of ours only; keep no code, no phone, no password",
    ),
    Rule(
        "tenants_apart",
        "silver",
        "two merchants' connections in one process touch only their own system",
        "keep all state in the instance: no globals, no module state, no shared files",
    ),
    Rule(
        "parsers_raise_parse_error",
        "silver",
        "spoilt answers never make the adapter raise an error of its own",
        "let the parsers check what they read, and raise ParseError (InvalidReply in a hook)",
    ),
    Rule(
        "no_person_needed",
        "gold",
        "each fault ends by asking, repeating or undoing",
        "implement the family's query, or make the change idempotent",
        exemptible=True,
    ),
    Rule(
        "survives_kill",
        "gold",
        "killed at any send, a change has happened once or not at all, and the next process finds out which",
        "send our key with each change, and look it up before sending again",
    ),
    Rule(
        "source_to_reconcile",
        "gold",
        "a statement shows each change under our key or its number, with the right amount",
        "implement the family's statement hook",
        exemptible=True,
    ),
    Rule(
        "cost_per_call",
        "gold",
        "no hook costs more messages or time than quality.toml says",
        "send fewer messages; or write the new cost into quality.toml, knowing that checkouts get slower",
    ),
    Rule(
        "foreign_system",
        "platinum",
        "proved against the vendor's sandbox or a system that nobody here wrote",
        "run the tests against such a system and name them in quality.toml",
    ),
    Rule(
        "recorded_traffic",
        "platinum",
        "recorded traffic of a real system is replayed in a test",
        "record traffic, mask it, and replay it; name the test in quality.toml",
    ),
    Rule(
        "docs_in_two_languages",
        "platinum",
        "README.md and README.zh.md",
        "translate the README",
    ),
)
RULES: Mapping[str, Rule] = {rule.name: rule for rule in LADDER}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried: for which rule, on which hook, what (a trait, a fault), and what was seen."""

    rule: str
    verdict: Verdict
    hook: str = ""
    subject: str = ""
    why: str = ""

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.hook, self.subject)))
        return f"{where}: {self.why}" if where else self.why


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule stands: ``pass``, ``fail`` or ``exempt``, and why."""

    rule: Rule
    state: str
    why: str = ""


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

    def add(self, rule: str, verdict: Verdict, hook: str = "", subject: str = "", why: str = "") -> None:
        self.findings.append(Finding(rule, verdict, hook, subject, why))

    def shown(self, rule: str, hook: str = "", subject: str = "", why: str = "") -> None:
        self.add(rule, Verdict.SHOWN, hook, subject, why)

    def not_shown(self, rule: str, hook: str = "", subject: str = "", why: str = "") -> None:
        self.add(rule, Verdict.NOT_SHOWN, hook, subject, why)

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
            return Standing(rule, "fail", f"{worst[0].verdict}: {worst[0]}{more}")
        good = [finding for finding in own if finding.verdict in (Verdict.SHOWN, Verdict.EXEMPT)]
        if not good:
            return Standing(rule, "fail", "not shown: nothing tried it")
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
            if any(s.state == "fail" for s in self.standings if s.rule.grade == grade):
                return reached
            reached = grade
        return reached

    @property
    def refutations(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict is Verdict.REFUTED]

    @property
    def ok(self) -> bool:
        """Whether the grade is the one claimed, or better, and no claim was refuted."""
        return GRADES.index(self.grade) >= GRADES.index(self.claimed_grade) and not self.unexcused

    @property
    def unexcused(self) -> list[Finding]:
        """What was refuted and is not excused by an exemption."""
        excused = {name for name in self.exemptions if name in RULES and RULES[name].exemptible}
        return [finding for finding in self.refutations if finding.rule not in excused]

    @property
    def next_step(self) -> str:
        """What to do to reach the next grade."""
        for standing in self.standings:
            if standing.state == "fail":
                return f"for {standing.rule.grade}: {standing.rule.advice} [{standing.rule.name}: {standing.why}]"
        return "nothing: it is platinum"
