"""Damage a home in many ways, one at a time, and report what each command prints and whether a rerun repairs it.

Run it as `python bench/damaged_home.py [--only WORD] [--home FOLDER --study NAME]`. The tests' small study is run once
(or a finished home is copied), and each kind of damage is applied to a copy of that home. Then `status`, `query`,
`report`, `audit`, `backup`, `ledger costs` and `run` are run as processes, then `run` and `status` once more. Printed
per kind: each command's exit status and message, the number of model calls, and whether the tables equal those of the
undamaged home. A command is marked BAD if it prints a traceback or a library's error message, a kind of damage if a run
called models although the ledger was intact, or if tables differ after the run reported that all is fresh. Exit status
1 if anything is BAD. As root, full disks and read-only folders are real (tmpfs); without root these kinds are skipped,
which is reported.
"""

import argparse
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(os.environ.get("ADVCLUSTER_CHECKOUT") or Path(__file__).resolve().parents[1])
sys.path.insert(0, str(ROOT))

from advcluster_dagster.contracts.registry import TABLES  # noqa: E402
from advcluster_dagster.storage.content_hash import frame_hash  # noqa: E402
from advcluster_dagster.storage.home import Home  # noqa: E402
from advcluster_dagster.storage.table_files import scan_file, table_path  # noqa: E402
from advcluster_dagster.study.partition import all_partitions  # noqa: E402
from tests.studies import COMPARES_TAXONOMIES, given_study  # noqa: E402

NOBODY = 65534
#: Parts of library error messages that must not reach users.
RAW = (
    "Traceback", "magic bytes", "sqlite3.", "sqlalchemy", "sqlalche.me", "(Background on", "ArrowInvalid", "Thrift",
    "ComputeError", "parquet: File out of specification", "[SQL:", "Invalid Input Error", "IO Error", "pydantic",
)  # fmt: skip
Damage = Callable[[Path, str], None]


@dataclass(frozen=True)
class Kind:
    """A kind of damage.

    ``hold`` maintains a condition while commands run, such as a full disk; ``user`` runs them as another user.
    """

    name: str
    damage: Damage = lambda _home, _study: None
    hold: Callable[[Path, str], "contextmanager[None]"] | None = None  # type: ignore[valid-type]
    needs_root: bool = False
    loses_ledger: bool = False
    user: int | None = None
    commands: tuple[tuple[str, ...], ...] = ()


def table(home: Path, study: str) -> Path:
    """Path of a table from the middle of the data flow."""
    return sorted((home / "lake" / study / "graded_trials").rglob("*.parquet"))[0]


def garble(path: Path, start: float, n_bytes: int) -> None:
    """Overwrite ``n_bytes`` bytes, beginning at a share of the file's length."""
    content = bytearray(path.read_bytes())
    first = int(len(content) * start)
    content[first : first + n_bytes] = bytes((value ^ 0x5A) for value in content[first : first + n_bytes])
    path.write_bytes(content)


def truncate(path: Path, share: float = 0.5) -> None:
    """Truncate a file to a share of its length."""
    os.truncate(path, int(path.stat().st_size * share))


def edit(path: Path, keeps_stamp: bool) -> None:
    """Change one value of a table with another tool that keeps or drops the footer's metadata."""
    rows = pq.read_table(path)
    column = "is_correct" if "is_correct" in rows.column_names else rows.column_names[-1]
    entries = pq.read_metadata(path).metadata
    index = rows.column_names.index(column)
    values = rows.column(column).to_pylist()
    values[0] = not values[0] if isinstance(values[0], bool) else values[0]
    edited = rows.set_column(index, rows.schema.field(index), pa.array(values, rows.schema.field(index).type))
    pq.write_table(edited.replace_schema_metadata(entries if keeps_stamp else None), path)


def ledger(home: Path) -> Path:
    return home / "ledger" / "ledger.sqlite"


def packed(path: Path) -> Path:
    """Merge the write-ahead log of a database into its file; return the path."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    return path


def garble_pages(path: Path) -> None:
    """Overwrite all pages of a database except the first."""
    size = packed(path).stat().st_size
    garble(path, 4096 / size, size)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        return
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def histories(home: Path) -> list[Path]:
    return [home / "dagster" / "history" / "runs.db", home / "dagster" / "history" / "runs" / "index.db"]


def taxonomy(home: Path, study: str) -> Path:
    return sorted((home / "taxonomies" / study).rglob("*.parquet"))[0]


def imported(home: Path, study: str, kind: str) -> Path:
    return sorted((home / "imports" / study / kind).rglob("*.parquet"))[0]


def lose_table(home: Path, study: str) -> None:
    """Delete a table, so that a run has work to do."""
    table(home, study).unlink()


@contextmanager
def full(folder: Path, spare: int = 0) -> Iterator[None]:
    """Put the folder on a separate file system without free space."""
    original = folder.with_name(f"{folder.name}.original")
    folder.rename(original)
    folder.mkdir()
    n_bytes = sum((path.stat().st_blocks * 512 + 8192) for path in original.rglob("*")) + 200_000
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(original, folder, dirs_exist_ok=True)
        with (folder / ".filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"\0" * 4096)
            except OSError:
                os.ftruncate(filler.fileno(), max(0, filler.tell() - spare))
        yield
    finally:
        (folder / ".filler").unlink()
        shutil.rmtree(original)
        shutil.copytree(folder, original)
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
        original.rename(folder)


@contextmanager
def read_only(home: Path, _study: str) -> Iterator[None]:
    subprocess.run(["mount", "--bind", str(home), str(home)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(home)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(home)], check=True)


def symlinked(home: Path, _study: str) -> None:
    real = home.with_name("real")
    home.rename(real)
    home.symlink_to(real)


def older_clock(home: Path, _study: str) -> None:
    """Set the times of all files one year ahead, as if the clock had been set back."""
    later = time.time() + 365 * 86400
    for path in home.rglob("*"):
        os.utime(path, (later, later))


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


KINDS = (
    Kind("table truncated", lambda h, s: truncate(table(h, s))),
    Kind("table cut to nothing", lambda h, s: truncate(table(h, s), 0)),
    Kind("table garbled in its rows", lambda h, s: garble(table(h, s), 0.05, 200)),
    Kind("table garbled in its footer", lambda h, s: garble(table(h, s), 0.8, 200)),
    Kind("table garbled as a whole", lambda h, s: garble(table(h, s), 0, 1 << 30)),
    Kind("table deleted", lambda h, s: table(h, s).unlink()),
    Kind("table edited, stamp kept", lambda h, s: edit(table(h, s), True)),
    Kind("table edited, stamp missing", lambda h, s: edit(table(h, s), False)),
    Kind("ledger truncated", lambda h, s: truncate(packed(ledger(h))), loses_ledger=True),
    Kind("ledger cut to nothing", lambda h, s: truncate(packed(ledger(h)), 0), loses_ledger=True),
    Kind("ledger header garbled", lambda h, s: garble(packed(ledger(h)), 0, 100), loses_ledger=True),
    Kind("ledger pages garbled", lambda h, s: garble_pages(ledger(h)), loses_ledger=True),
    Kind("ledger deleted", lambda h, s: remove(ledger(h)), loses_ledger=True),
    Kind("ledger folder deleted", lambda h, s: remove(h / "ledger"), loses_ledger=True),
    Kind("history deleted", lambda h, s: remove(h / "dagster" / "history")),
    Kind("history header garbled", lambda h, s: [garble(packed(p), 0, 100) for p in histories(h)] and None),
    Kind("history pages garbled", lambda h, s: [garble_pages(p) for p in histories(h)] and None),
    Kind("history truncated", lambda h, s: [truncate(packed(p)) for p in histories(h)] and None),
    Kind("dagster.yaml garbled", lambda h, s: garble(h / "dagster" / "dagster.yaml", 0, 1 << 20)),
    Kind("dagster.yaml no YAML", lambda h, s: _write(h / "dagster" / "dagster.yaml", "a: [\n")),
    Kind("platform.yaml garbled", lambda h, s: (h / "platform.yaml").write_bytes(b"\xff\xfe\x00x: [")  and None),
    Kind("study YAML garbled", lambda h, s: garble(h / "studies" / f"{s}.yaml", 0, 1 << 20)),
    Kind("frozen taxonomy garbled", lambda h, s: garble(taxonomy(h, s), 0, 1 << 20)),
    Kind("frozen taxonomy garbled in its rows", lambda h, s: garble(taxonomy(h, s), 0.1, 200)),
    Kind("report garbled", lambda h, s: garble(h / "reports" / s / "report.html", 0.1, 1000)),
    Kind("report's stamp garbled", lambda h, s: garble(h / "reports" / s / "report.json", 0, 1000)),
    Kind("report's picture garbled", lambda h, s: garble(next((h / "reports" / s).glob("*.png")), 0, 1000)),
    Kind("import garbled (questions)", lambda h, s: garble(imported(h, s, "questions"), 0, 1 << 20)),
    Kind("import garbled (traces)", lambda h, s: garble(imported(h, s, "traces"), 0, 1 << 20)),
    Kind("import garbled (rows)", lambda h, s: garble(imported(h, s, "traces"), 0.1, 100)),
    Kind("disk full: lake", lose_table, lambda h, s: full(h / "lake"), True),
    Kind("disk full: ledger", lose_table, lambda h, s: full(h / "ledger"), True),
    Kind("disk full: reports", lambda h, s: (h / "reports" / s / "report.html").unlink(),
         lambda h, s: full(h / "reports"), True),
    Kind("disk full: imports", hold=lambda h, s: full(h / "imports"), needs_root=True,
         commands=(("import", "questions", "sums-questions.jsonl", "-s", "given", "-d", "sums", "-b", "additions"),)),
    Kind("disk full: history", lose_table, lambda h, s: full(h / "dagster"), True),
    Kind("disk full: whole home", lose_table, lambda h, s: full(h), True),
    Kind("read-only home", hold=read_only, needs_root=True),
    Kind("read-only home, a table lost", lose_table, read_only, True),
    Kind("wrong owner", needs_root=True, user=NOBODY),
    Kind("unreadable to this user", lambda h, s: h.chmod(0o700), needs_root=True, user=NOBODY),
    Kind("unreadable files", lambda h, s: [p.chmod(0o600) for p in h.rglob("*") if p.is_file()] and None,
         needs_root=True, user=NOBODY),
    Kind("clock set back", older_clock),
    Kind("symlinked home", symlinked),
    Kind("home on another path"),
)  # fmt: skip
PROGRAM = [sys.executable, "-c", "from advcluster_dagster.cli.main import main; main()"]


def commands(study: str, folder: Path) -> dict[str, list[str]]:
    """The commands to run, by a short name; backups go to ``folder``."""
    return {
        "status": ["status", study],
        "query": ["query", "select count(*), sum(is_correct::int) from graded_trials", "--study", study],
        "report": ["report", study],
        "audit": ["audit", study],
        "backup": ["backup", str(folder / "backup.tar.gz"), "--force"],
        "costs": ["ledger", "costs", study],
        "run": ["run", study],
    }


def run_command(home: Path, command: list[str], user: int | None) -> tuple[int, str]:
    """Run a command; return its exit status and its output."""
    environment = {**os.environ, "ADVCLUSTER_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "220"}
    environment.pop("DAGSTER_HOME", None)
    completed = subprocess.run(
        [*PROGRAM, *command], env=environment, capture_output=True, text=True, errors="replace", user=user,
        cwd=home.parent if user is None else "/", timeout=600, check=False,
    )  # fmt: skip
    return completed.returncode, f"{completed.stdout}\n{completed.stderr}"


def summary_of(text: str, most: int = 700) -> str:
    """The lines of an output that report problems, else the last lines."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    problems = [
        line
        for line in lines
        if re.search(r"^error|(^|[^d_])failed|damaged|Nothing|steps in|broken:| is (stale|missing)|cannot", line)
    ]
    return " / ".join(problems[:4] or lines[-4:-3] or lines[-1:])[:most]


def row_hashes(home: Home, study: str) -> dict[str, str | None]:
    """Hash of the current rows of every table partition, computed independently of the files' stamps."""
    declared, hashes = home.load_study(study), dict[str, str | None]()
    for name, contract in TABLES.items():
        for partition in all_partitions(declared, contract.level):
            path = table_path(home.lake, study, name, partition)
            try:
                hashes[f"{name}@{partition.label}"] = frame_hash(scan_file(path).collect()) if path.exists() else None
            except Exception:
                hashes[f"{name}@{partition.label}"] = "cannot be read"
    return hashes


def n_replies(home: Path) -> int | None:
    """Number of replies received so far; None if the ledger cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{ledger(home)}?mode=ro", uri=True)) as connection:
            return int(connection.execute("select coalesce(sum(n_replies), 0) from calls").fetchone()[0])
    except sqlite3.Error:
        return None


def faults_of(status: int, text: str) -> list[str]:
    """Faults in a command's output."""
    faults = [f"prints {word!r}" for word in RAW if word.lower() in text.lower()]
    return faults + (["failed without a message"] if status and not text.strip() else [])


def try_kind(kind: Kind, base: Path, study: str, folder: Path, hashes: Mapping[str, str | None]) -> bool:
    """Apply the damage, run all commands and print the results; return whether nothing was BAD."""
    home = folder / "copy" / "home"
    home.parent.mkdir(mode=0o755)
    shutil.copytree(base, home)
    before = n_replies(home)
    kind.damage(home, study)
    print(f"\n## {kind.name}", flush=True)
    is_good, outputs = True, dict[str, str]()

    def run(name: str, command: list[str], user: int | None = None) -> None:
        nonlocal is_good
        status, text = run_command(home, command, user)
        outputs[name] = text
        faults = faults_of(status, text)
        is_good &= not faults
        print(f"{name:8} {status}  {summary_of(text)}{f'   BAD: {faults}' if faults else ''}", flush=True)
        if faults and "Traceback" in text:
            print("\n".join(text.splitlines()[-6:]))

    with kind.hold(home, study) if kind.hold else nullcontext():
        for name, command in commands(study, folder).items():
            run(name, command, kind.user)
        for command in kind.commands:
            run(command[0], [str(home / part) if part.endswith(".jsonl") else part for part in command])
    run("rerun", ["run", study])
    run("status", ["status", study])
    after = n_replies(home)
    n_asked = None if after is None or before is None else after - before
    try:
        new_hashes = row_hashes(Home(home.resolve()), study)
        differing = [
            name
            for name in hashes
            if hashes[name] != new_hashes[name] and name.split("@")[0] not in COMPARES_TAXONOMIES
        ]
    except Exception as error:
        differing = [f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"]
    is_good &= not (differing and "all is fresh" in outputs["rerun"])
    verdict = "tables equal" if not differing else f"{len(differing)} tables differ, first {differing[0]}"
    if n_asked and not kind.loses_ledger:
        is_good = False
    print(f"after    {verdict}; replies received meanwhile: {n_asked}{'' if is_good else '   BAD'}", flush=True)
    shutil.rmtree(folder / "copy")
    return is_good


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="Only kinds with this in their name.")
    parser.add_argument("--home", type=Path, help="A finished home; it is copied.")
    parser.add_argument("--study", default="given")
    options = parser.parse_args()
    bad = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        base = folder / "base"
        if options.home:
            shutil.copytree(options.home, base)
        else:
            given_study(base)
        print(f"{'run':8} {summary_of(run_command(base, ['run', options.study], None)[1])}")
        hashes = row_hashes(Home(base), options.study)
        for kind in KINDS:
            if options.only not in kind.name:
                continue
            if kind.needs_root and os.getuid() != 0:
                print(f"\n## {kind.name}: skipped, it requires root")
            elif not try_kind(kind, base, options.study, folder, hashes):
                bad.append(kind.name)
    print(f"\n{len(bad)} kinds BAD{': ' if bad else ''}{', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
