"""Who takes part in a training by several processes, and who does not."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.errors import TrainingError
from rnnpipe.networks.distributed import links, meeting
from rnnpipe.networks.distributed.links import LostError, Reception, connect, listen


def meet(folder: Path, workers: int) -> list[dict[int, links.Link]]:
    """All ranks come together, in threads of this process."""
    with ThreadPoolExecutor(workers) as pool:
        coming = [pool.submit(meeting.rendezvous, folder, rank, workers) for rank in range(workers)]
        return [come.result(60) for come in coming]


def close(*groups: dict[int, links.Link]) -> None:
    for group in groups:
        for link in group.values():
            link.close()


def listening() -> set[str]:
    found = psutil.Process().net_connections(kind="tcp")
    return {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}


def address_of(folder: Path) -> tuple[str, int]:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            host, _, port = json.loads((folder / "0").read_text())["address"].rpartition(":")
            return host, int(port)
        time.sleep(0.02)
    raise AssertionError("no chief came")


def test_the_chief_speaks_with_each_and_each_with_the_chief_alone(tmp_path):
    chief, *others = meet(tmp_path / "meeting", 3)
    assert sorted(chief) == [1, 2]
    assert [list(other) for other in others] == [[0], [0]]
    for rank, other in enumerate(others, 1):
        chief[rank].ask()
        other[0].wait_until_asked()
        other[0].send(b"%d" % rank * 3_000)
        assert chief[rank].receive() == b"%d" % rank * 3_000
    close(chief, *others)


@pytest.mark.parametrize(
    ("host", "bound"), [(None, "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("", "127.0.0.1")]
)
def test_only_the_chief_listens_at_one_interface_and_only_until_all_are_here(
    tmp_path, monkeypatch, caplog, host, bound
):
    if host is not None:
        monkeypatch.setenv(meeting.HOST_VARIABLE, host)
    before = listening()
    with ThreadPoolExecutor() as pool, caplog.at_level("INFO"):
        chief = pool.submit(meeting.rendezvous, tmp_path, 0, 2)
        address_of(tmp_path)
        assert listening() - before == {bound}
        other = meeting.rendezvous(tmp_path, 1, 2)
        close(chief.result(30), other)
    assert "for this machine alone" in caplog.text
    assert listening() == before


def test_an_interface_to_other_machines_is_told_with_a_warning(monkeypatch, caplog):
    class Elsewhere:
        def getsockname(self):
            return "10.0.0.5", 4711

    monkeypatch.setattr(meeting, "listen", lambda host, port: Elsewhere())
    assert meeting._open("10.0.0.5", 0)[1] == "10.0.0.5:4711"
    assert "the network between the machines has to be trusted" in caplog.text


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "[::bad", "a" * 300, "ü" * 70])
def test_an_address_that_is_not_this_machine_s_is_refused_in_a_sentence(
    tmp_path, monkeypatch, host
):
    monkeypatch.setenv(meeting.HOST_VARIABLE, host)
    with pytest.raises(TrainingError, match="expected an address of this machine"):
        meeting.rendezvous(tmp_path, 0, 2)


def test_the_key_is_for_its_owner_s_eyes_and_another_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(meeting, "MEETING_SECONDS", 0.0)
    keys = set()
    for _ in range(2):
        with pytest.raises(TrainingError):
            meeting.rendezvous(tmp_path, 0, 2)
        assert (tmp_path / "0").stat().st_mode & 0o077 == 0
        keys.add(json.loads((tmp_path / "0").read_text())["key"])
    assert len(keys) == 2
    assert all(len(bytes.fromhex(key)) == 32 for key in keys)


STRANGERS = {
    "silent": b"",
    "web": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n" + b" " * 200,
    "grpc": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 200,
    "zeros": b"\0" * 72,
    "pickle": b"\x80\x04\x95" + b"c" * 100,
    "long": b"x" * 1_000_000,
}


@pytest.mark.parametrize("stranger", [*STRANGERS, "other key", "other size", "the chief's rank"])
def test_who_does_not_know_the_key_is_refused_and_keeps_nobody_waiting(
    tmp_path, monkeypatch, caplog, stranger
):
    monkeypatch.setattr(links, "_HANDSHAKE_SECONDS", 1.0)
    with ThreadPoolExecutor() as pool:
        chief = pool.submit(meeting.rendezvous, tmp_path, 0, 2)
        host, port = address_of(tmp_path)
        key = bytes.fromhex(json.loads((tmp_path / "0").read_text())["key"])
        if stranger in STRANGERS:
            visitor = socket.create_connection((host, port))
            with contextlib.suppress(OSError):
                visitor.sendall(STRANGERS[stranger])
        else:
            known = b"another" if stranger == "other key" else key
            rank, size = {"other size": (1, 3), "the chief's rank": (0, 2)}.get(stranger, (1, 2))
            with pytest.raises(LostError):
                connect(host, port, known, rank, size)
        other = meeting.rendezvous(tmp_path, 1, 2)
        ours = chief.result(30)
    ours[1].send(b"hello")
    assert other[0].receive() == b"hello"
    close(ours, other)
    if stranger != "silent":
        assert f"refused a connection from {host}" in caplog.text


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH\r\n" * 9, b"rnnpipe1" + b"\0" * 64])
def test_nobody_takes_part_in_the_training_of_a_false_chief(monkeypatch, says):
    monkeypatch.setattr(links, "_HANDSHAKE_SECONDS", 0.5)
    with listen("127.0.0.1") as false_chief:

        def answer() -> None:
            connection, _ = false_chief.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(says)
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises((LostError, OSError)):
            connect("127.0.0.1", false_chief.getsockname()[1], b"key", 1, 2)
        thread.join(10)


LEFT = {
    "an ended chief's": json.dumps({"address": "127.0.0.1:9", "key": "00" * 32}),
    "nothing": "",
    "half": '{"address": "127.0.0',
    "another program's": "127.0.0.1:4711",
    "a list": "[1, 2]",
    "no address": json.dumps({"address": "\x1b[2J", "key": "00" * 32}),
    "large": "x" * 10_000,
}


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_what_an_earlier_training_left_in_the_folder_does_no_harm(tmp_path, left, mode):
    (tmp_path / "0").write_text(LEFT[left])
    (tmp_path / "0").chmod(mode)
    (tmp_path / "1").write_text("127.0.0.1:9")
    with ThreadPoolExecutor() as pool:
        other = pool.submit(meeting.rendezvous, tmp_path, 1, 2)
        time.sleep(0.1)
        chief = meeting.rendezvous(tmp_path, 0, 2)
        close(chief, other.result(30))


def test_an_address_that_others_can_write_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(meeting, "MEETING_SECONDS", 0.3)
    (tmp_path / "0").write_text(LEFT["an ended chief's"])
    (tmp_path / "0").chmod(0o666)
    with pytest.raises(TrainingError, match="worker 1 did not reach .* can be written by others"):
        meeting.rendezvous(tmp_path, 1, 2)


def test_who_does_not_come_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(meeting, "MEETING_SECONDS", 0.5)
    with pytest.raises(TrainingError, match=r"found 1 of 3 workers .* worker 1, 2 did not come"):
        meeting.rendezvous(tmp_path, 0, 3)
    with pytest.raises(TrainingError, match=r"worker 2 did not reach the chief"):
        meeting.rendezvous(tmp_path, 2, 3)


def two(tmp_path: Path) -> tuple[links.Link, links.Link]:
    chief, other = meet(tmp_path, 2)
    return chief[1], other[0]


def test_who_is_silent_is_lost_and_who_is_slow_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(links, "SILENCE_SECONDS", 1)
    monkeypatch.setattr(links, "_LIFE_SECONDS", 0.2)
    chief, other = two(tmp_path)
    with ThreadPoolExecutor() as pool:
        with links.keep_alive({}):
            waiting = pool.submit(chief.receive)
            for _ in range(8):  # 1.6 s without a word, but alive
                other.say_alive()
                time.sleep(0.2)
            other.send(b"slow")
            assert waiting.result(10) == b"slow"
        with pytest.raises(LostError, match="no sign of life for 1 s") as lost:
            pool.submit(chief.receive).result(10)
    assert lost.value.rank == 1
    close({1: chief, 0: other})


def test_who_has_ended_is_lost_at_once(tmp_path):
    chief, other = two(tmp_path)
    other.close()
    with pytest.raises(LostError, match="it has ended"):
        chief.receive()
    chief.close()


def test_who_reads_nothing_is_lost_and_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(links, "SILENCE_SECONDS", 1)
    chief, other = two(tmp_path)
    with pytest.raises(LostError, match="no sign of life"):
        chief.send(bytes(50_000_000))
    close({1: chief, 0: other})


def test_who_comes_again_takes_the_place_that_it_had():
    key = b"k" * 32
    listener = listen("127.0.0.1")
    host, port = listener.getsockname()
    reception = Reception(listener, key, 2, print)
    first = connect(host, port, key, 1, 2)
    second = connect(host, port, key, 1, 2)
    with pytest.raises(LostError):
        first.receive()
    end = time.monotonic() + 10
    while not reception.links and time.monotonic() < end:
        time.sleep(0.01)
    there = reception.close()
    there[1].send(b"you")
    assert second.receive() == b"you"
    close(there, {0: second})


# --- By TF_CONFIG ------------------------------------------------------------------------


def config(*addresses: str, index: int = 0) -> str:
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def test_without_a_key_nobody_takes_part_by_tf_config(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config("127.0.0.1:1", "127.0.0.1:2"))
    monkeypatch.delenv(meeting.KEY_VARIABLE, raising=False)
    with pytest.raises(TrainingError, match="RNNPIPE_CLUSTER_KEY is not: expected one secret"):
        meeting.meet(2).__enter__()
    monkeypatch.setenv(meeting.KEY_VARIABLE, "short")
    with pytest.raises(TrainingError, match="has 5 characters, expected 16"):
        meeting.meet(2).__enter__()


def test_with_a_key_they_meet_at_the_address_of_the_first(monkeypatch):
    with listen("127.0.0.1") as probe:
        port = probe.getsockname()[1]
    addresses = (f"127.0.0.1:{port}", "127.0.0.1:1")
    monkeypatch.setenv(meeting.KEY_VARIABLE, "a secret of some length")
    found = []
    for index in (1, 0):
        monkeypatch.setenv("TF_CONFIG", config(*addresses, index=index))
        found.append(meeting._config(2))
    assert found == [(1, addresses[0]), (0, addresses[0])]
    with ThreadPoolExecutor() as pool:
        chief = pool.submit(meeting._meet_at, addresses[0], 0, 2)
        close(meeting._meet_at(addresses[0], 1, 2), chief.result(30))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cluster", "task", "worker", "type", "index"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(text=_JSON.map(json.dumps) | st.text(st.characters(min_codepoint=1, codec="utf-8")))
def test_any_tf_config_is_understood_or_refused_in_a_sentence(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CONFIG", text)
        found = said = None
        try:
            found = meeting._config(2)
        except TrainingError as error:
            said = str(error)
        assert len(said or "") < 500
        assert found is None or found[0] in (0, 1)
