"""What programs can and cannot do in each tier that works on this machine, by real programs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox import kernel, launcher, seccomp
from edgesearch.sandbox.base import MIB, Limits
from edgesearch.sandbox.tiers import TIERS, Tier

from .programs import run_in

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces it")


def tree_with(word: str) -> list[psutil.Process]:
    """Processes whose command line holds a word, once those that are being killed have had a second to go."""
    for _ in range(20):
        found = [p for p in psutil.process_iter(["cmdline"]) if word in " ".join(p.info["cmdline"] or ())]
        if not found:
            return []
        time.sleep(0.05)
    return found


# -- every tier --------------------------------------------------------------------------------------------------------


def test_a_program_gets_its_input_and_its_output_comes_back(tier: Tier) -> None:
    code = "import sys; print(sys.stdin.read().upper(), sys.argv[1:]); print('oops', file=sys.stderr); sys.exit(3)"
    done = run_in(tier, code, "a b", "; touch x", stdin=b"hello")
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"HELLO ['a b', '; touch x']\n", b"oops\n")
    assert not done.is_timed_out
    assert not done.is_output_cut
    assert done.ending == "exit status 3"
    assert 0 < done.wall_s < 10


def test_nothing_of_the_caller_s_environment_is_passed_on(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a secret of ours")
    done = run_in(tier, "import os; print(*os.environ, *os.environ.values())")
    assert b"secret" not in done.stdout
    assert {b"PATH", b"HOME", b"TMPDIR"} <= set(done.stdout.split())


def test_a_program_runs_in_an_empty_directory_of_its_own_that_is_gone_afterwards(tier: Tier) -> None:
    code = "import os; print(os.getcwd(), os.listdir(), os.environ['TMPDIR']); open('made', 'w').write('x')"
    first, second = (run_in(tier, code).stdout.decode().split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] == second[1] == "[]"
    assert first[2] == first[0]
    assert not Path(first[0]).exists()


def test_only_the_three_standard_files_are_open(tier: Tier, tmp_path: Path) -> None:
    with open(tmp_path / "ours", "w") as ours:
        os.set_inheritable(ours.fileno(), True)
        code = """
            import os
            def is_open(fd):
                try: os.fstat(fd)
                except OSError: return False
                return True
            print([fd for fd in range(200) if is_open(fd)])
        """
        assert run_in(tier, textwrap.dedent(code)).stdout == b"[0, 1, 2]\n"


def test_a_program_that_does_not_read_its_input_does_not_block(tier: Tier) -> None:
    assert run_in(tier, "print('done')", stdin=b"x" * (4 * MIB)).stdout == b"done\n"


def test_megabytes_of_input_arrive_whole(tier: Tier) -> None:
    done = run_in(tier, "import sys; print(len(sys.stdin.buffer.read()))", stdin=b"\x00\xff" * (2 * MIB))
    assert done.stdout == f"{4 * MIB}\n".encode()


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "import signal, time\nfor s in range(1, 32):\n  try: signal.signal(s, signal.SIG_IGN)\n  except OSError: pass\n"
        "time.sleep(60)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        "import os, time; os.close(1); os.close(2); time.sleep(60)",
    ],
    ids=["sleeps", "ignores signals", "stops itself", "closes its output"],
)
def test_a_program_that_does_not_end_is_stopped_at_the_limit(tier: Tier, code: str) -> None:
    done = run_in(tier, code, limits=Limits(wall_s=0.5, cpu_s=5))
    assert done.is_timed_out
    assert done.exit_code is None
    assert done.wall_s < 5
    assert "stopped after" in done.ending


def test_processor_time_is_limited_beside_wall_time(tier: Tier) -> None:
    done = run_in(tier, "while True: pass", limits=Limits(wall_s=60, cpu_s=1))
    assert done.is_timed_out
    assert done.exit_code is None


def test_processor_time_is_limited_though_its_signal_is_ignored(tier: Tier) -> None:
    code = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert run_in(tier, code, limits=Limits(wall_s=60, cpu_s=1)).is_timed_out


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_of_output_is_cut_and_costs_no_memory_here(tier: Tier, stream: str) -> None:
    before = psutil.Process().memory_info().rss
    code = f"import sys\nwhile True: sys.{stream}.write('x' * 65536)"
    done = run_in(tier, code, limits=Limits(wall_s=30, cpu_s=30, output_bytes=100_000))
    assert done.is_output_cut
    assert not done.is_timed_out
    assert done.exit_code is None
    assert len(getattr(done, stream)) == 100_000
    assert psutil.Process().memory_info().rss - before < 32 * MIB
    assert "wrote more than its limit" in done.ending


def test_output_up_to_the_limit_is_whole(tier: Tier) -> None:
    done = run_in(tier, "print('x' * 99_999)", limits=Limits(output_bytes=100_000))
    assert (len(done.stdout), done.exit_code, done.is_output_cut) == (100_000, 0, False)


@needs_linux
def test_memory_is_limited(tier: Tier) -> None:
    done = run_in(tier, "bytearray(1 << 30)", limits=Limits(memory_bytes=256 * MIB))
    assert done.exit_code == 1
    assert b"MemoryError" in done.stderr


def test_the_size_of_a_file_is_limited(tier: Tier) -> None:
    done = run_in(tier, "open('big', 'wb').write(bytes(8_000_000))", limits=Limits(file_bytes=4 * MIB))
    assert done.exit_code == 1
    assert b"OSError" in done.stderr


def test_open_files_are_limited_and_no_core_is_dumped(tier: Tier) -> None:
    code = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE)[0], r.getrlimit(r.RLIMIT_CORE)[1])"
    assert run_in(tier, code, limits=Limits(num_files=40)).stdout == b"40 0\n"


def test_a_program_may_start_others(tier: Tier) -> None:
    code = (
        "import subprocess; print(subprocess.run(['/bin/sh', '-c', 'echo from a shell'], capture_output=True).stdout)"
    )
    assert run_in(tier, code).stdout == b"b'from a shell\\n'\n"


def test_what_a_program_started_ends_with_it(tier: Tier, tmp_path: Path) -> None:
    """Children that hold its output open, and would go on for a minute."""
    word = f"edgesearch-test-{os.getpid()}-{tmp_path.name}"
    sleeper = f"import time; time.sleep(60)  # {word}"
    code = (
        f"import subprocess, sys\nfor _ in range(5): subprocess.Popen([sys.executable, '-c', {sleeper!r}])\nprint('ok')"
    )
    done = run_in(tier, textwrap.dedent(code))
    assert (done.exit_code, done.stdout) == (0, b"ok\n")
    assert done.wall_s < 10
    assert not tree_with(word)


def test_a_program_that_keeps_forking_is_stopped_with_all_of_them(tier: Tier, tmp_path: Path) -> None:
    word = f"edgesearch-forks-{os.getpid()}-{tmp_path.name}"
    code = f"# {word}\nimport os, time\nfor _ in range(6): os.fork()\ntime.sleep(60)"
    done = run_in(tier, code, limits=Limits(wall_s=1.0))
    assert done.is_timed_out
    assert not tree_with(word)


def test_a_signal_that_ends_a_program_is_told(tier: Tier) -> None:
    done = run_in(tier, "import ctypes; ctypes.string_at(0)")
    assert done.exit_code == -11
    assert done.ending == "signal SIGSEGV"


def test_a_program_that_cannot_be_started_says_so(tier: Tier) -> None:
    done = tier.run(["/no/such/program"], stdin=b"", limits=Limits())
    assert done.exit_code == 127
    assert done.stderr == b"/no/such/program cannot be started: No such file or directory\n"


def test_a_right_that_cannot_be_given_up_stops_everything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *launcher.START, "0", "0:notanumber", "", "", "/bin/echo", "ran"],
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert b"ran" not in done.stdout


@needs_linux
def test_the_program_ends_with_whoever_started_it(tier: Tier, tmp_path: Path) -> None:
    word = f"edgesearch-orphan-{os.getpid()}-{tmp_path.name}"
    script = f"""
        import sys
        from edgesearch.sandbox.base import Limits
        from edgesearch.sandbox.tiers import TIERS
        code = "print('up', flush=True)\\nimport time; time.sleep(60)  # {word}"
        print("starting", flush=True)
        TIERS["{tier.info.name}"].run([sys.executable, "-c", code], stdin=b"", limits=Limits(wall_s=60))
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # a parent that is killed leaves the directory behind
    command = [sys.executable, "-c", textwrap.dedent(script)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    with parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        while not [p for p in psutil.process_iter(["cmdline"]) if is_program(p.info["cmdline"], word)]:
            assert parent.poll() is None
            time.sleep(0.02)
        parent.kill()
    assert not tree_with(word)


def is_program(cmdline: list[str] | None, word: str) -> bool:
    """Whether it is the sandboxed program itself, past its launcher."""
    return bool(cmdline) and len(cmdline) == 3 and word in cmdline[2] and "Limits" not in cmdline[2]


# -- tiers that isolate ------------------------------------------------------------------------------------------------


def attempt(tier: Tier, code: str, *arguments: str) -> str:
    """The name of the exception that the attempt ends in, or what it prints."""
    wrapped = (
        f"try:\n{textwrap.indent(textwrap.dedent(code), '  ')}\nexcept BaseException as e: print(type(e).__name__)"
    )
    done = run_in(tier, wrapped, *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    "code",
    [
        "open(sys.argv[1], 'w').write('x')",
        "open(sys.argv[1], 'a').write('x')",
        "os.truncate(sys.argv[1], 0)",
        "os.unlink(sys.argv[1])",
        "os.rename(sys.argv[1], sys.argv[1] + '2')",
        "os.symlink('/etc/passwd', sys.argv[1] + '2')",
        "os.link(sys.argv[1], 'here'); open('here', 'w')",
        "os.mkdir(sys.argv[1] + '2')",
        "os.chmod(sys.argv[1], 0o777)",
        "os.utime(sys.argv[1], (0, 0))",
        "os.chown(sys.argv[1], 0, 0)",
        "os.setxattr(sys.argv[1], 'user.x', b'x')",
        "open(os.open(sys.argv[1], os.O_RDWR), 'w').write('x')",
    ],
)
def test_nothing_outside_its_directory_can_be_changed(isolating: Tier, tmp_path: Path, code: str) -> None:
    ours = tmp_path / "ours"
    ours.write_text("kept")
    before = ours.stat()
    assert attempt(isolating, f"import os, sys\n{code}", str(ours)) in ("PermissionError", "OSError")
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]
    assert ours.read_text() == "kept"
    after = ours.stat()
    assert (before.st_mode, before.st_mtime_ns, before.st_uid) == (after.st_mode, after.st_mtime_ns, after.st_uid)


def test_it_can_read_and_write_in_its_own_directory(isolating: Tier) -> None:
    code = """
        import os, tempfile
        with tempfile.NamedTemporaryFile("w+") as file: file.write("x")
        os.mkdir("a"); open("a/b", "w").write("y"); os.rename("a/b", "a/c"); os.unlink("a/c"); os.rmdir("a")
        open(os.devnull, "w").write("z")
        print("fine")
    """
    assert attempt(isolating, code) == "fine"


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET"])
def test_no_socket_can_be_made(isolating: Tier, family: str) -> None:
    code = f"import socket; socket.socket(socket.{family}, socket.SOCK_DGRAM); print('made')"
    assert attempt(isolating, code) == "PermissionError"


def test_a_socket_in_the_file_system_is_out_of_reach(isolating: Tier, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('reached')"
        assert attempt(isolating, code, str(tmp_path / "s")) == "PermissionError"


@pytest.mark.parametrize("sent", [0, 15])
def test_other_processes_cannot_be_signalled(isolating: Tier, sent: int) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        code = f"import os, sys; os.kill(int(sys.argv[1]), {sent}); print('sent')"
        assert attempt(isolating, code, str(other.pid)) in ("PermissionError", "ProcessLookupError")
        assert other.poll() is None
        other.kill()


def test_the_environment_and_memory_of_other_processes_cannot_be_read(isolating: Tier) -> None:
    for name in ("environ", "mem", "maps"):
        code = f"import sys; print(len(open(f'/proc/{{sys.argv[1]}}/{name}', 'rb').read(1)))"
        assert attempt(isolating, code, str(os.getpid())) in ("PermissionError", "FileNotFoundError")
    assert "secret" not in attempt(isolating, "print(open('/proc/1/environ').read())")


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",
        "unshare(0x20000)",
        "syscall({clone}, 0x10000011, 0, 0, 0, 0)",
        "ptrace(16, {pid}, 0, 0)",
        "syscall({socket}, 1, 1, 0)",
        "mount(b'x', b'/tmp', b'tmpfs', 0, 0)",
        "chroot(b'/tmp')",
        "syscall(425, 8, 0)",
    ],
)
def test_calls_that_lead_out_are_refused(isolating: Tier, call: str) -> None:
    place = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    filled = call.format(clone=seccomp.CLONE[place], socket=seccomp.ESCAPES["socket"][place], pid=os.getpid())
    code = f"import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.{filled}, ctypes.get_errno())"
    assert attempt(isolating, code) == "-1 1"


def test_root_keeps_no_capability_and_no_program_gives_more(isolating: Tier) -> None:
    code = "print(*[line for line in open('/proc/self/status') if line.startswith(('CapEff', 'NoNewPrivs'))])"
    assert attempt(isolating, code).split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]


def test_no_process_is_left_that_makes_a_session_of_its_own(isolating: Tier, tmp_path: Path) -> None:
    word = f"edgesearch-daemon-{os.getpid()}-{tmp_path.name}"
    code = f"""
        # {word}
        import os, time
        if os.fork() == 0:
            try: os.setsid()
            except OSError: pass
            if os.fork() == 0: time.sleep(60)
            os._exit(0)
        print("ok")
    """
    assert run_in(isolating, textwrap.dedent(code)).stdout == b"ok\n"
    assert not tree_with(word)


@needs_linux
def test_older_kernels_are_told_to_refuse_signals_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "landlock_version", lambda: 3)
    old = TIERS["landlock"].command(["/bin/true"], Limits(), "/x")
    monkeypatch.setattr(kernel, "landlock_version", lambda: 6)
    new = TIERS["landlock"].command(["/bin/true"], Limits(), "/x")
    filters = [command[command.index("/bin/true") - 1] for command in (old, new)]
    assert len(filters[0]) - len(filters[1]) == 2 * 16 * len(
        seccomp.SIGNALS
    )  # two instructions of 8 bytes in hexadecimal


@needs_linux
def test_a_tier_whose_program_is_missing_says_that_it_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/no/bwrap")
    with pytest.raises(SandboxUnavailable, match="/no/bwrap cannot be started: No such file"):
        TIERS["bubblewrap"].run(["/bin/true"], stdin=b"", limits=Limits())
