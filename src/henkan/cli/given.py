"""Options that were given on the command line, and would do nothing."""

from collections.abc import Set

import typer


def refuse_given(context: typer.Context, allowed: Set[str], why: str) -> None:
    """ConfigError for the first option on the command line that is not among the parameters ``allowed``."""
    from henkan.errors import ConfigError

    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in allowed and source is not None and source.name == "COMMANDLINE":
            raise ConfigError(f"{parameter.opts[0]}: {why}; leave it out")
