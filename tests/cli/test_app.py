"""The command line as a user meets it: help, names mistyped, errors and their exit codes."""

import os
import subprocess
import sys
import types
from collections.abc import Callable

import pytest
import typer

import henkan
from henkan.cli import app
from henkan.cli.app import COMMANDS, Command, main
from henkan.errors import ConfigError, DataError, NonFiniteLoss, Stopped, StorageError


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs the command line here, and gives exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """A function that adds a command ``fake``, which is the given function or app."""

    def add(what: object) -> None:
        module = types.ModuleType("henkan_fake_command")
        module.fake = what  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(app, "COMMANDS", (*COMMANDS, Command("fake", "Fake.", module.__name__, "fake")))

    return add


def raising(error: BaseException) -> Callable[[], None]:
    def fake() -> None:
        """Fail."""
        raise error

    return fake


def test_help_names_every_command_but_hidden_ones(run):
    code, out, _ = run("--help")
    assert code == 0
    listed = [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == [each.name for each in COMMANDS if not each.hidden]


def test_version(run):
    assert run("--version") == (0, f"henkan {henkan.__version__}\n", "")


def test_a_mistyped_command_names_the_nearest(run):
    code, _, err = run("trian")
    assert code == 2
    assert "'trian'" in err
    assert "'train'" in err


def test_a_mistyped_option_names_the_nearest(run, command):
    def fake(reference: str = "") -> None:
        """Take an option."""

    command(fake)
    code, _, err = run("fake", "--refrence", "x")
    assert code == 2
    assert "--refrence" in err
    assert "--reference" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("layers 0: expected at least 1"), 2),
        (DataError("line 7 of [b]train.en[/b]: not UTF-8"), 2),
        (NonFiniteLoss("the loss became NaN at update 12"), 1),
        (StorageError("disk full"), 1),
        (OSError(28, "No space left on device"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_one_message_and_an_exit_code(run, command, error, code):
    command(raising(error))
    assert run("fake") == (code, "", f"error: {error}\n")


@pytest.mark.parametrize(("signal_number", "code"), [(2, 130), (15, 143)])
def test_a_stop_says_what_was_saved(run, command, signal_number, code):
    command(raising(Stopped("saved; continue with --resume", signal_number)))
    assert run("fake") == (code, "", "saved; continue with --resume\n")


def test_ctrl_c_anywhere_ends_with_130(run, command):
    command(raising(KeyboardInterrupt()))
    code, out, err = run("fake")
    assert (code, out) == (130, "")
    assert "Traceback" not in err


def test_a_fault_of_ours_says_so_and_debug_shows_where(run, command):
    command(raising(ZeroDivisionError("division by zero")))
    code, _, err = run("fake")
    assert code == 1
    assert err.startswith("error: unexpected ZeroDivisionError: division by zero\n")
    assert "--debug" in err
    assert "Traceback" not in err
    for arguments in (["--debug", "fake"], ["fake", "--debug"]):
        code, _, err = run(*arguments)
        assert code == 1
        assert "Traceback" in err


def test_debug_after_a_bare_double_dash_is_an_argument(run, command):
    def fake(words: list[str]) -> None:
        """Print the words."""
        typer.echo(repr(words))

    command(fake)
    assert run("fake", "--", "--debug") == (0, "['--debug']\n", "")


@pytest.mark.process
def test_as_a_command_it_is_light():
    """One process: the whole command line, the package and the settings load without torch."""
    code = (
        "import sys, henkan, henkan.cli.app, henkan.config\n"
        "heavy = {'torch', 'numpy', 'sacrebleu', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "henkan.cli.app.main(['--help'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Usage: henkan" in result.stdout


@pytest.mark.process
def test_output_is_utf8_whatever_the_locale_says():
    told = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    ascii_only = {**told, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", "from henkan.cli import process; process.prepare(); print(chr(0x5909))"]
    shown = subprocess.run(command, env=ascii_only, capture_output=True, check=True).stdout
    assert shown.decode("utf-8").strip() == "変"
