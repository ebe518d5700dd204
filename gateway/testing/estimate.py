"""About how long the checks of a run take, from the measured cost of one call; and what a quick run leaves out."""

from __future__ import annotations

import os
import statistics

from gateway.testing.bench import Bench
from gateway.testing.checks import faults, kills, privacy, sales, traits
from gateway.testing.proxy import NETWORK_FAULTS, RESENT

#: What a trial does around the call that it is about: a request made ready, the books read twice and waited for, the
#: outcome asked about. In calls, and in seconds for the waiting.
_CALLS_A_TRIAL, _WAIT_S = 4, 0.15
#: Trials of one hook's traits, about: its query, its undo, a part, the same key in five ways.
_TRAIT_TRIALS = 10
#: Kinds of sale, each with its return.
_SALES = 8
#: A process that is started to be killed, in seconds.
_PROCESS_S = 0.2
#: Network faults under which the call waits for its whole patience.
_SILENT = frozenset({"swallow", "hold", "silence"})
#: A check whose hook was not measured yet, in seconds.
UNKNOWN_S = 3.0
#: Checks of all hooks together: trials a hook, in a quick run and in a whole one.
_TRIALS_A_HOOK = {
    "parsers_raise_parse_error": (privacy.QUICK_SPOILT, privacy.SPOILT),
    "no_secret_leaks": (4, 4),
    "tenants_apart": (2, 4),
    "cost_per_call": (2, 5),
}


def at_a_time(threads: int) -> int:
    """How many checks really go on at a time where so many threads run them: they wait, and they compute."""
    return min(threads, 2 * (os.cpu_count() or 1))


def one_call_s(bench: Bench) -> float:
    """What one call takes here, in the middle of those that were measured, in seconds."""
    return statistics.median([each.seconds for each in bench.measured.values()] or [UNKNOWN_S])


def seconds(bench: Bench, rule: str, hook: str = "") -> float:
    """About how long a check takes by itself, in seconds."""
    measured = bench.measured.get(hook)
    if measured is None:
        trials = _TRIALS_A_HOOK.get(rule, (1, 1))[0 if bench.quick else 1] * len(bench.measured)
        return max(UNKNOWN_S, trials * (_CALLS_A_TRIAL * one_call_s(bench) + _WAIT_S))
    at = min(measured.messages, 2) if bench.quick else measured.messages
    trial = _CALLS_A_TRIAL * measured.seconds + _WAIT_S
    if rule == faults.RULE:
        names = faults.QUICK if bench.quick else tuple(NETWORK_FAULTS)
        panel = faults.QUICK_PANEL if bench.quick else tuple(faults.PANEL)
        waits = at * len(_SILENT & set(names)) * bench.profile.patience_s
        return (at * len(names) + len(panel)) * trial + waits
    if rule == kills.RULE:
        return max(2 * at, kills.QUICK_SLICES if bench.quick else kills.SLICES) * (trial + _PROCESS_S)
    return {traits.RULE: _TRAIT_TRIALS, sales.RULE: _SALES * 2}.get(rule, 1) * trial


def left_out(real: bool) -> str:
    """What ``--quick`` leaves out, so that nobody takes its grade for more than it is. A ``real`` system has no faults
    of its own to switch on."""
    network = [name for name in NETWORK_FAULTS if name not in faults.QUICK and name not in RESENT]
    panel = [name for name in faults.PANEL if name not in faults.QUICK_PANEL]
    return (
        f"--quick tries the first and the last message of each hook, not those between, and leaves out {len(network)} "
        f"of {len(NETWORK_FAULTS)} faults of the network ({', '.join(network)}; of idempotent hooks also "
        f"{' and '.join(sorted(RESENT))}), "
        + ("" if real else f"{len(panel)} of {len(faults.PANEL)} of the simulator ({', '.join(panel)}), ")
        + f"{kills.SLICES - kills.QUICK_SLICES} of {kills.SLICES} moments of a "
        f"kill where no message is sent, and {privacy.SPOILT - privacy.QUICK_SPOILT} of {privacy.SPOILT} spoilt answers"
    )
