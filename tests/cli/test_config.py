"""Claims about `socketchat.cli.config`: which options a file sets, and what is wrong with one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
import pytest

from socketchat.cli.config import ConfigFile, default_path
from socketchat.cli.main import cli
from socketchat.cli.outcome import ExitCode
from tests.cli.processes import stage, status
from tests.cli.test_main import ALL, INVITE, TOKEN
from tests.documents.pages import blocks_of
from tests.processes import ROOT

#: Commands, and what runs them.
RUN = {
    name: f"{name.split()[0]}.run_{name.replace(' ', '_')}"
    for name, command in ALL.items()
    if not isinstance(command, click.Group)
}
ARGUMENTS = {"connect": ["maple"], "send": ["maple"], "tail": ["maple"], "trust forget": ["maple"]}


class Config:
    """A configuration file, and what the commands are told when there is one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.monkeypatch = monkeypatch
        self.path = path
        self.taken: dict[str, Any] = {}
        for place in RUN.values():
            module, name = place.split(".")
            patched = importlib.import_module(f"socketchat.cli.{module}")
            monkeypatch.setattr(patched, name, self._run)

    def _run(self, **settings: Any) -> int:
        self.taken = settings
        return ExitCode.DONE

    def run(self, text: str, command: str, *options: str) -> dict[str, Any]:
        """Return the settings with which a command is run under a file with this text."""
        self.path.write_text(text, "utf-8")
        self.taken = {}
        given = [*command.split(), *options, *ARGUMENTS.get(command, [])]
        code = status(self.monkeypatch, "--config", str(self.path), *given)
        assert code == (ExitCode.DONE if self.taken else ExitCode.USAGE)
        return self.taken


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Config:
    return Config(monkeypatch, tmp_path / "config.toml")


# What is set


def test_what_stands_at_the_top_is_for_every_command_that_has_it(config: Config) -> None:
    text = 'nick = "ada"\njson = true\nport = 4000\n'
    assert config.run(text, "serve")["nick"] == "ada"
    assert config.run(text, "serve")["port"] == 4000
    assert config.run(text, "connect")["nick"] == "ada"
    assert config.run(text, "connect")["as_json"] is True
    assert config.run(text, "trust list")["as_json"] is True


def test_a_table_is_for_its_command_and_comes_before_the_top(config: Config) -> None:
    text = 'nick = "ada"\n[serve]\nnick = "grace"\n[trust.list]\njson = true\n'
    assert config.run(text, "serve")["nick"] == "grace"
    assert config.run(text, "tail")["nick"] == "ada"
    assert config.run(text, "trust list")["as_json"] is True
    assert config.run(text, "history")["as_json"] is False


def test_a_table_of_a_group_is_for_its_commands(config: Config, tmp_path: Path) -> None:
    text = '[trust]\ndata = "/a"\n[trust.list]\ndata = "/b"\n'
    assert config.run(text, "trust list")["data"] == Path("/b")
    assert config.run(text, "trust forget")["data"] == Path("/a")
    assert config.run(text, "identity")["data"] is None


def test_the_command_line_comes_first_then_variables_then_the_file(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "room = 'one'\nno-color = true\n[serve]\nroom = 'two'\nhost = ['::1']\n"
    assert config.run(text, "serve")["room"] == "two"
    monkeypatch.setenv("SOCKETCHAT_ROOM", "three")
    monkeypatch.setenv("SOCKETCHAT_NO_COLOR", "0")
    monkeypatch.setenv("SOCKETCHAT_HOST", "::2 ::3")
    assert config.run(text, "serve")["room"] == "three"
    assert config.run(text, "serve")["no_color"] is False
    assert config.run(text, "serve")["hosts"] == ("::2", "::3")
    assert config.run(text, "serve", "--room", "four", "--host", "::4")["room"] == "four"
    assert config.taken["hosts"] == ("::4",)


def test_dashes_may_be_underscores(config: Config) -> None:
    text = "no_color = true\nmax-per_address = 3\n"
    assert config.run(text, "serve")["no_color"] is True
    assert config.run(text, "serve")["max_per_address"] == 3


def test_an_option_may_be_called_as_a_command_is(config: Config) -> None:
    text = 'trust = "strict"\nhistory = 7\n'
    assert config.run(text, "connect")["trust"] == "strict"
    assert config.run(text, "connect")["history"] == 7
    assert config.run(text, "trust list")["as_json"] is False
    assert config.run(text, "history")["limit"] == 1000
    text = '[connect]\ntrust = "strict"\n[history]\nlimit = 7\n[trust.list]\njson = true\n'
    assert config.run(text, "connect")["trust"] == "strict"
    assert config.run(text, "history")["limit"] == 7
    assert config.run(text, "trust list")["as_json"] is True


def test_values_are_what_the_command_line_makes_of_them(config: Config) -> None:
    text = """
        host = ["127.0.0.1", "::1"]
        operator = ["SHA256:one", "SHA256:two"]
        rate = 5
        retain = "90d"
        private = true
    """
    taken = config.run(text, "serve")
    assert taken["hosts"] == ("127.0.0.1", "::1")
    assert taken["operators"] == ("SHA256:one", "SHA256:two")
    assert (taken["rate"], type(taken["rate"])) == (5.0, float)
    assert taken["retain"] == 90 * 86_400
    assert taken["private"] is True


def test_more_is_said_if_the_file_says_so(
    config: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    config.run("verbose = 2", "history")
    assert "verbose" not in config.taken
    config.monkeypatch.setattr("socketchat.cli.history.run_history", lambda **_: 1 // 0)
    config.run("verbose = 2", "identity")
    assert status(config.monkeypatch, "--config", str(config.path), "history") == 1
    assert "Traceback" in capfd.readouterr().err


def test_paths_are_seen_from_the_file(config: Config, tmp_path: Path) -> None:
    config.monkeypatch.setenv("HOME", "/home/ada")
    text = 'data = "chat"\ncert = "~/cert.pem"\nkey = "/etc/key.pem"\n'
    taken = config.run(text, "serve")
    assert taken["data"] == tmp_path / "chat"
    assert taken["cert"] == Path("/home/ada/cert.pem")
    assert taken["key"] == Path("/etc/key.pem")


@pytest.mark.parametrize("name", list(RUN))
def test_every_option_that_has_a_variable_can_be_set(config: Config, name: str) -> None:
    without = config.run("", name)
    for option in ALL[name].params:
        if isinstance(option, click.Option) and option.envvar is not None:
            (long,) = (one for one in option.opts if one.startswith("--"))
            value, text = sample(option)
            taken = config.run(f"{long[2:]} = {text}", name)
            assert taken == config.run("", name, *([long] if value is None else [long, value]))
            # How much is logged, and how, does not reach the command.
            assert option.name in ("verbose", "log_json") or taken != without


def sample(option: click.Option) -> tuple[str | None, str]:
    """Return a value of an option that is not its default, as it is typed, and in TOML."""
    if option.is_flag:
        return None, "true"
    if option.count:
        return None, "1"
    if option.name == "since":
        return "2026-01-31", "'2026-01-31'"
    if option.name == "metrics":
        return ":9100", "':9100'"
    if isinstance(option.type, click.Choice):
        return "strict", "'strict'"
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        return "9", "9"
    text = "/some/where" if isinstance(option.type, click.Path) else "17m"
    return text, f"['{text}']" if option.multiple else f"'{text}'"


# Empty values


def test_an_empty_value_is_one_that_is_not_set(config: Config) -> None:
    empty = 'room = ""\nname = ""\nnick = ""\nhost = []\noperator = []\ndata = ""\nport = ""\n'
    assert config.run(empty, "serve") == config.run("", "serve")
    text = 'room = "one"\nnick = "ada"\n[serve]\nroom = ""\nnick = ""\n'
    assert config.run(text, "serve")["room"] == "one"
    assert config.run(text, "serve")["nick"] == "ada"


@pytest.mark.parametrize("text", ['room = " "', 'host = ["::1", ""]', '[serve]\ndata = "\\t"'])
def test_a_blank_value_is_an_error(
    config: Config, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    assert not config.run(text, "serve")
    assert "it must not be empty" in capfd.readouterr().err


# What is wrong


@pytest.mark.parametrize(
    ("text", "command", "words"),
    [
        ("prot = 1", "serve", "prot is no option that can be set; port is one"),
        ("xyz = 1", "history", "xyz is no option that can be set"),
        ("[serve]\nlimit = 1", "connect", "limit in [serve] is no option that can be set"),
        ("[trust.list]\nca = true", "serve", "ca in [trust.list] is no option that can be set"),
        ("[frob]\nport = 1", "serve", "[frob] is no command"),
        ("[serve.frob]\nport = 1", "serve", "[serve.frob] is no command"),
        ("[trust.frob]", "serve", "[trust.frob] is no command"),
        ("[socketchat]\nport = 1", "serve", "[socketchat] is no command"),
        ("no-color = true\nno_color = true", "serve", "no_color is set twice"),
        ("[identity]\nnext = true", "identity", "next in [identity] is no option"),
        ("rotate = true", "identity", "rotate is no option that can be set"),
        ("make-next = true", "identity", "make-next is no option that can be set"),
        ("config = 'x'", "serve", "config is no option that can be set"),
        ("help = true", "serve", "help is no option that can be set"),
        ("v = 1", "serve", "v is no option that can be set"),
        ("target = 'x'", "connect", "target is no option that can be set"),
        ("--port = 1", "serve", "--port is no option that can be set"),
        ("as-json = true", "connect", "as-json is no option that can be set"),
        ("port = '1'", "serve", "port must be a whole number"),
        ("port = 1.5", "serve", "port must be a whole number"),
        ("port = true", "serve", "port must be a whole number"),
        ("port = 65536", "serve", "port: 65536 is not in the range"),
        ("rate = '1'", "serve", "rate must be a number"),
        ("[serve]\nrate = -1", "serve", "rate in [serve]: -1"),
        ("private = 'yes'", "serve", "private must be true or false"),
        ("private = 1", "serve", "private must be true or false"),
        ("verbose = true", "serve", "verbose must be a whole number"),
        ("nick = 1", "serve", "nick must be text in quotes"),
        ("retain = 90", "serve", "retain must be text in quotes"),
        ("since = 2026-01-31", "tail", "since must be text in quotes"),
        ("retain = 'soon'", "serve", "retain: 'soon' is no length of time"),
        ("[connect]\ntrust = 'blindly'", "connect", "trust in [connect]: 'blindly' is not one of"),
        ("operator = 'x'", "serve", "operator must be an array of texts in quotes"),
        ("operator = ['x', 1]", "serve", "operator must be an array of texts in quotes"),
        ("host = 'x'", "serve", "host must be an array of texts in quotes for socketchat serve"),
        ("host = ['x']", "invite", "host must be text in quotes for socketchat invite"),
        ("nick = ['x']", "serve", "nick must be text in quotes"),
        ("data = '~nobody-of-this-name/x'", "serve", "whose home is ~nobody-of-this-name/x?"),
        ("data = '" + __file__.replace("\\", "/") + "'", "serve", "is a file"),
        # What is wrong with other commands' options is said too, but for their ranges.
        ("[tail]\nhistory = 'x'", "serve", "history in [tail] must be a whole number"),
        # Files that are no TOML.
        ("nick = ada", "serve", "(at line 1, column 8)"),
        ("nick = 'ada'\nport 1", "serve", "(at line 2, column 6)"),
        ("[serve]\n[serve]", "serve", "(at line 2, column 7)"),
        ("trust = 'ask'\n[trust.list]", "serve", "at line 2"),
        ("x = " + "[" * 10_000, "serve", "too many brackets"),
    ],
)
def test_what_is_wrong_with_a_file_gets_one_line_and_2(
    config: Config, capfd: pytest.CaptureFixture[str], text: str, command: str, words: str
) -> None:
    assert not config.run(text, command)
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"socketchat: {config.path}: ")
    assert words in line
    assert " --help" in line


def test_a_file_that_is_no_text_is_an_error(
    config: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    config.path.write_bytes(b"nick = '\xff'")
    assert status(config.monkeypatch, "--config", str(config.path), "serve") == ExitCode.USAGE
    assert "utf-8" in capfd.readouterr().err


def test_no_secret_and_no_escape_sequence_of_the_file_is_shown(
    config: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    for text in (f"fingerprint = {TOKEN}", f"trust = '{INVITE}'", f'"{TOKEN}" = 1'):
        assert not config.run(text, "connect")
        assert TOKEN[-50:] not in capfd.readouterr().err
    assert not config.run('"\\u001b[2J" = 1', "connect")
    assert "␛[2J is no option" in capfd.readouterr().err


# Which file


def test_a_file_that_is_named_must_be_there(
    config: Config, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "missing.toml"
    assert status(config.monkeypatch, "--config", str(missing), "serve") == ExitCode.USAGE
    assert f"{missing}: No such file" in capfd.readouterr().err
    config.monkeypatch.setenv("SOCKETCHAT_CONFIG", str(missing))
    assert status(config.monkeypatch, "serve") == ExitCode.USAGE
    assert f"{missing}: No such file" in capfd.readouterr().err
    assert status(config.monkeypatch, "--config", str(tmp_path), "serve") == ExitCode.USAGE
    assert f"{tmp_path}: Is a directory" in capfd.readouterr().err
    assert not config.taken


def test_a_variable_names_the_file_and_the_command_line_another(
    config: Config, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text("room = 'two'", "utf-8")
    config.monkeypatch.setenv("SOCKETCHAT_CONFIG", str(other))
    status(config.monkeypatch, "serve")
    assert config.taken["room"] == "two"
    assert config.run("room = 'one'", "serve")["room"] == "one"


def test_an_empty_name_of_a_file_is_an_error_or_no_variable(
    config: Config, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config.monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config.monkeypatch.setenv("SOCKETCHAT_CONFIG", "")
    assert status(config.monkeypatch, "serve") == ExitCode.DONE
    assert status(config.monkeypatch, "--config", "", "serve") == ExitCode.USAGE
    assert "'--config': it must not be empty" in capfd.readouterr().err


@pytest.mark.parametrize("words", ["--help", "--version", "serve --help", "trust list -h", "trust"])
def test_nothing_is_read_for_help(
    config: Config, capfd: pytest.CaptureFixture[str], words: str
) -> None:
    config.path.write_text("no TOML", "utf-8")
    code = status(config.monkeypatch, "--config", str(config.path), *words.split())
    assert code == (ExitCode.USAGE if words == "trust" else ExitCode.DONE)
    assert str(config.path) not in "".join(capfd.readouterr())


def test_a_file_is_read_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[ConfigFile] = []
    read = ConfigFile._read

    def count(self: ConfigFile) -> dict[str, Any]:
        reads.append(self)
        return read(self)

    monkeypatch.setattr(ConfigFile, "_read", count)
    assert config.run("room = 'one'", "serve")["room"] == "one"
    assert len(reads) == 1


def test_the_help_says_where_the_file_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert status(monkeypatch, "--help") == ExitCode.DONE
    place = default_path().relative_to(tmp_path).as_posix()
    assert capfd.readouterr().out.splitlines()[-1].endswith(f" ~/{place}")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    assert status(monkeypatch, "--help") == ExitCode.DONE
    assert str(default_path()) in capfd.readouterr().out


def test_a_real_process_finds_the_usual_file(tmp_path: Path) -> None:
    with stage(tmp_path) as it:
        usual = tmp_path / "config" / "socketchat" / "config.toml"
        usual.parent.mkdir(parents=True)
        usual.write_text("[trust.list]\ndata = '../data'\n", "utf-8")
        known = usual.parent.parent / "data" / "known_hosts"
        known.parent.mkdir()
        known.write_text(f"maple:7625 SHA256:{'A' * 43}\n", "utf-8")
        env = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
        listed = it.start("trust", "list", env=env)
        assert listed.wait() == ExitCode.DONE
        assert listed.out == f"maple SHA256:{'A' * 43}\n"
        usual.write_text("nick = 'ada", "utf-8")
        broken = it.start("trust", "list", env=env)
        assert broken.wait() == ExitCode.USAGE
        assert broken.err.startswith(f"socketchat: {usual}: ")
        assert broken.err.count("\n") == 1


def test_a_default_place_that_cannot_be_is_as_good_as_no_file(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SOCKETCHAT_CONFIG")
    (tmp_path / "file").touch()
    for place in ("nowhere", "file"):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / place))
        assert status(monkeypatch, "serve") == ExitCode.DONE
    usual = tmp_path / "socketchat" / "config.toml"
    usual.parent.mkdir()
    usual.write_text("room = 'one'", "utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert status(monkeypatch, "serve") == ExitCode.DONE
    assert config.taken["room"] == "one"


def test_the_options_of_all_commands_at_once_are_not_in_it() -> None:
    own = {name for it in cli.params if isinstance(it, click.Option) for name in it.opts}
    assert own == {"--version", "--config"}


@pytest.mark.parametrize("page", ["README.md", "docs/reference/configuration.md"])
def test_what_the_documents_show_is_understood(config: Config, page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    (shown,) = (block.body for block in blocks_of(text) if block.kind == "toml")
    assert config.run(shown, "serve")["room"] == "tea"
