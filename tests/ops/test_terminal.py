"""Commands on terminals of all kinds."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from gateway.cli import Friendly


@pytest.mark.parametrize(("charset", "shown"), [("gbk", "相符 \\u2713"), ("latin-1", "\\u76f8\\u7b26 \\u2713")])
def test_a_sign_that_the_terminal_lacks_breaks_nothing_off(charset: str, shown: str) -> None:
    """An evening's settlement would end in its middle, with a stack, on a shop's old terminal."""
    group = Friendly(commands={"say": click.Command("say", callback=lambda: click.echo("相符 ✓"))})
    result = CliRunner(charset=charset).invoke(group, ["say"])
    assert (result.exit_code, result.output.strip()) == (0, shown)
