"""Sessions and sudo inside a machine."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from local_aws.machines import Isolation

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from .conftest import Driver

namespaced = pytest.mark.parametrize("driver", [Isolation.OVERLAY, Isolation.USER_NAMESPACE], indirect=True, ids=str)


def test_session_environment_matches_aws(driver: Driver) -> None:
    box = driver.machine(
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, user_data=b"#!/bin/sh\nexport LEAK=1\n"
    )
    answer = dict(line.split("=", 1) for line in box.out("env").splitlines())
    assert answer["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert answer["LANG"] == "C.UTF-8" and answer["USER"] == "ssm-user" and answer["PWD"] == "/usr/bin"
    assert not {"LEAK", "SECRET_OF_THE_HOST", "SUDO_USER"} & set(answer)
    assert box.out("echo x >~/mine && cat ~/mine") == "x"
    assert box.out('echo "$EXTRA"', env={"EXTRA": "yes"}) == "yes"
    assert box.out("pwd", cwd="/usr/lib") == "/usr/lib"


@namespaced
def test_missing_become_fails(driver: Driver) -> None:
    box = driver.machine()
    assert box.out("id -un") == "ssm-user" and box.out("id -u") != "0"
    for place in ("/opt", "/etc", "/root", "/usr/bin", "/run", "/var/log"):
        assert box.run(f"touch {place}/mine")["code"] != 0, place
    box.out("echo theirs >/opt/root-file", "root")
    assert box.run("echo mine >/opt/root-file")["code"] != 0
    assert box.run("rm -f /opt/root-file; test -e /opt/root-file")["code"] == 0
    assert box.out("touch /tmp/mine /var/tmp/mine ~/mine && echo ok") == "ok"
    assert box.out("sudo touch /opt/mine && echo ok") == "ok"


def test_sudo_is_root_without_a_password(driver: Driver) -> None:
    box = driver.machine(environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert box.out("sudo -n sh -c 'echo $USER:$HOME:$SUDO_USER:$AWS_ENDPOINT_URL'") == (
        f"root:{box.out('echo $HOME', 'root')}:ssm-user:http://127.0.0.1:9"
    )
    assert box.out("sudo id -u") == box.out("id -u", "root")
    assert box.out("cd /usr/lib && sudo pwd") == "/usr/lib"
    assert box.out("sudo -u ssm-user sh -c 'echo $USER'") == "ssm-user"
    assert box.out("sudo -u ssm-user sudo -u root sh -c 'echo $USER'") == "root"
    if driver.level != Isolation.PROCESS_GROUP:
        assert box.out("/usr/bin/env -i $(command -v sudo) id -un") == "root"
        assert box.out("sudo -u ssm-user id -un") == "ssm-user"


def test_sudo_passes_exit_codes_and_signals(driver: Driver) -> None:
    box = driver.machine()
    assert box.run("sudo sh -c 'exit 7'")["code"] == 7
    assert box.run("sudo sh -c 'kill -TERM $$'")["code"] == 128 + signal.SIGTERM
    answer = box.run("sudo no-such-command")
    assert answer["code"] == 1 and answer["out"].strip() == "sudo: no-such-command: command not found"
    assert box.run("sudo -u nobody-at-all true")["code"] == 1
    assert box.run("sudo --no-such-option true")["code"] == 1
    assert box.run("sudo")["code"] == 1
    loop = "trap 'echo got it; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    # The client forwards the signal.
    output = box.out(
        [
            "bash",
            "-c",
            f'coproc sudo bash -c "{loop}"; read -u ${{COPROC[0]}}; kill -TERM $COPROC_PID; '
            "wait $COPROC_PID; echo code $?",
        ]
    )
    assert output.splitlines()[-1] == "code 5"  # bash may report the end of its job first


def test_sudo_understands_what_ansible_sends(driver: Driver) -> None:
    box = driver.machine()
    shell = "/bin/sh -c 'echo BECOME-SUCCESS-abc ; cat'"
    command = f'sudo -H -S -n -p "[sudo via ansible, key=abc] password:" -u root {shell}'
    assert box.out(command, stdin="line one\nline two") == "BECOME-SUCCESS-abc\nline one\nline two"
    big = "x" * 300_000
    assert box.out("sudo -n -- wc -c", stdin=big[:60_000]) == "60000"
    assert len(box.out(["sudo", "-n", "echo", *[big[:100_000]] * 4])) == 400_003
    assert box.out("sudo -nv && sudo -k && sudo -l >/dev/null && sudo -V | head -1").startswith("Sudo version")


def test_sudo_resets_the_environment_by_default(driver: Driver) -> None:
    box = driver.machine()
    show = "sh -c 'echo [$MINE$OTHER]'"
    mine = {"MINE": "a", "OTHER": "b", "LC_ALL": "C"}
    assert box.out(f"sudo {show}", env=mine) == "[]"
    assert box.out(f"sudo -E {show}", env=mine) == "[ab]"
    assert box.out(f"sudo --preserve-env {show}", env=mine) == "[ab]"
    assert box.out(f"sudo --preserve-env=OTHER {show}", env=mine) == "[b]"
    assert box.out(f"sudo MINE=c {show}", env=mine) == "[c]"
    assert box.out("sudo sh -c 'echo $LC_ALL'", env=mine) == "C"
    assert box.out("sudo -E sh -c 'echo $HOME'", env=mine) == box.out("echo $HOME", "root")
    assert box.out("sudo -i pwd") == box.out("echo $HOME", "root")
    assert box.out("sudo -s echo 'a  b' '$HOME'") == f"a  b {box.out('echo $HOME', 'root')}"
    assert box.out("echo 'echo hello' | sudo -i") == "hello"


def test_session_and_its_sudo_work_on_a_terminal(driver: Driver) -> None:
    box = driver.machine()
    typed = "stty -echo; PS1=; echo start\ntest -t 0 && echo on-a-terminal\n"
    typed += "sudo sh -c 'read a; echo root got $a; test -t 1'\n"
    answer = box.run(["sh"], stdin=f"{typed}words\necho code $?\nexit 4\n", tty=True)
    assert answer["code"] == 4, answer
    for text in ("on-a-terminal", "root got words", "code 0"):
        assert text in answer["out"], answer
    assert box.run("exec 3</dev/tty && echo has-one", tty=True)["out"].strip() == "has-one"


def test_killing_the_sudo_client_kills_the_command(driver: Driver) -> None:
    box = driver.machine()
    mark = driver.mark()
    number = box.spawn(f"sudo sleep {mark}")
    driver.eventually(lambda: len(driver.processes_with(f"\0{mark}\0")) >= 2, "sudo and sleep do not run")
    driver.ask("kill-command", number=number, limit=10)
    driver.gone(f"\0{mark}\0")
    assert box.out("echo alive") == "alive"


def test_unstartable_command_is_an_error(driver: Driver) -> None:
    box = driver.machine()
    assert box.run(["/no/such/program"])["failure"] == "FileNotFoundError"
    assert box.run("true", cwd="/no/such/folder")["failure"] == "FileNotFoundError"
    assert box.run(["/etc/passwd"])["failure"] == "PermissionError"
    assert box.run("true", "nobody-at-all")["failure"] == "OSError"
    assert box.run(["printf", "%s", "\udcff\udcfe"])["code"] == 0
    assert box.out("echo alive") == "alive"


def test_invalid_requests_to_init_are_survived(driver: Driver) -> None:
    box = driver.machine()
    runtime = box.out('tail -n 1 "$(readlink -f "$(command -v sudo)")" | sed "s/.*argv, \'//; s/\'))//"')
    script = f"""
import contextlib, os, socket, struct
os.chdir({runtime!r})
for junk in (b'', b'xx', b'\\xff\\xff\\xff\\xff', struct.pack('!I', 4) + b'null', struct.pack('!I', 2) + b'{{}}',
             struct.pack('!I', 40) + b'{{"do": "sudo", "call": 5, "env": 1}}     ',
             struct.pack('!I', 45) + b'{{"do": "power", "call": {{"action": "schedule"}}}}'):
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(ConnectionError):
        sock.connect('init.sock')
        sock.sendall(junk)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(100)
"""
    answer = box.run(["python3", "-c", script])
    assert answer["code"] == 0, answer
    assert box.out("sudo echo alive") == "alive"


@pytest.mark.parametrize("driver", [Isolation.OVERLAY], indirect=True, ids=str)
def test_init_s_socket_is_closed_to_other_users(driver: Driver) -> None:
    box = driver.machine()
    assert box.run("sudo -u nobody sudo id")["code"] == 1
    assert "Permission denied" in box.run("sudo -u nobody sudo id")["out"]
