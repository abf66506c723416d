"""A model of a disk that loses what was not synced, fed by what strace saw a process do.

Every call that changes a file or a directory is an effect. fsync of a file makes its content and rights last, fsync of
a directory its names; of all other effects any may be lost when the power is cut, and a write may have come to half.
Only a file's rights come in order: mode, owner and group stand together in what a file system writes.
"""

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TRACED = (
    "openat,write,ftruncate,fallocate,fchmod,chmod,fchmodat,fchown,chown,fchownat,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,symlinkat,pwrite64,creat"
)


def watching(trace: Path) -> tuple[str, ...]:
    """What to begin a command with."""
    return ("strace", "-D", "-f", "-y", "-s", "1000000", "-e", f"trace={TRACED}", "-o", str(trace))


@dataclass(eq=False)
class File:
    """What has a number of its own on the disk, whatever its names; as it was before the process came."""

    content: bytes = b""
    mode: int = 0
    owner: int = 0
    group: int = 0


@dataclass(frozen=True)
class Effect:
    # A file, for its content and rights; a directory's path, for its names.
    place: File | str
    kind: str  # content, length, mode, owner, name
    # content: (offset, bytes); length: int; mode: int; owner: (user, group); name: (name, file or None)
    value: object


@dataclass(frozen=True)
class Sync:
    place: File | str
    # A path, for people.
    subject: str


@dataclass
class Recording:
    """All that was done, in order, and the files that were there before, by path."""

    steps: list[Effect | Sync] = field(default_factory=list)
    before: dict[str, File] = field(default_factory=dict)

    def without(self, sync: Sync) -> "Recording":
        return Recording([step for step in self.steps if step is not sync], self.before)

    def syncs(self) -> list[Sync]:
        return [step for step in self.steps if isinstance(step, Sync)]


CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<(.*)>)?")
ARGUMENT = re.compile(r'\s*("(?:[^"\\]|\\.)*"(?:\.\.\.)?|[^,"<>\s]+<[^>]*>|[^,]+)')


def calls(lines: Iterable[str]) -> Iterator[tuple[str, list[str], str | None]]:
    """Name, arguments and the path that was opened, of each call that succeeded; interrupted ones at their end."""
    unfinished: dict[str, str] = {}
    for line in lines:
        thread = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            unfinished[thread] = line.removesuffix("<unfinished ...>").rstrip()
            continue
        resumed = re.match(r"^\d+ +<\.\.\. \w+ resumed>(.*)$", line)
        if resumed:
            line = unfinished.pop(thread) + resumed.group(1)
        call = CALL.match(line)
        if call and int(call.group(3)) >= 0:
            arguments = [argument.strip() for argument in ARGUMENT.findall(call.group(2))]
            yield call.group(1), arguments, call.group(4)


def text(argument: str) -> bytes:
    assert argument.startswith('"') and argument.endswith('"'), f"cut short: {argument[:80]}"
    return codecs.escape_decode(argument[1:-1].encode())[0]


def behind(argument: str) -> str:
    """The path of a descriptor: `7</run/app>`."""
    return argument[argument.index("<") + 1 : argument.rindex(">")]


def at(directory: str, name: str) -> str:
    path = text(name).decode()
    return path if path.startswith("/") else f"{behind(directory)}/{path}"


class Reader:
    """Follows which file has which name while the process goes on."""

    def __init__(self, below: Path, before: dict[str, File]):
        self.below = f"{below}/"
        self.recording = Recording(before=dict(before))
        self.names = dict(before)
        self.positions: dict[str, int] = {}

    def read(self, trace: Iterable[str]) -> Recording:
        for name, arguments, opened in calls(trace):
            getattr(self, f"do_{name}", self.unknown)(name, arguments, opened)
        return self.recording

    def add(self, place: File | str, kind: str, value: object) -> None:
        self.recording.steps.append(Effect(place, kind, value))

    def name(self, path: str, file: File | None) -> None:
        folder, _, name = path.rpartition("/")
        self.add(folder, "name", (name, file))
        if file is None:
            self.names.pop(path, None)
        else:
            self.names[path] = file

    def file(self, argument: str) -> File | None:
        return self.names.get(behind(argument))

    def unknown(self, name: str, arguments: list[str], opened: str | None) -> None:
        assert not any(self.below in argument for argument in arguments), f"no model of {name}({', '.join(arguments)})"

    def do_openat(self, _: str, arguments: list[str], opened: str | None) -> None:
        if opened is None or not opened.startswith(self.below):
            return
        flags = arguments[2].split("|")
        self.positions[opened] = 0
        if "O_CREAT" in flags and opened not in self.names:
            self.name(opened, File(mode=int(arguments[3], 8)))
        if "O_TRUNC" in flags:
            self.add(self.names[opened], "length", 0)

    def do_write(self, _: str, arguments: list[str], __: str | None) -> None:
        file = self.file(arguments[0]) if "<" in arguments[0] else None
        if file is not None:
            path, content = behind(arguments[0]), text(arguments[1])
            self.add(file, "content", (self.positions[path], content))
            self.positions[path] += len(content)

    def do_ftruncate(self, _: str, arguments: list[str], __: str | None) -> None:
        if file := self.file(arguments[0]):
            self.add(file, "length", int(arguments[1]))

    def do_fallocate(self, *_: object) -> None:
        """With FALLOC_FL_KEEP_SIZE: nothing that anybody reads."""

    def do_fchmod(self, _: str, arguments: list[str], __: str | None) -> None:
        if file := self.file(arguments[0]):
            self.add(file, "mode", int(arguments[1], 8))

    def do_fchown(self, _: str, arguments: list[str], __: str | None) -> None:
        if file := self.file(arguments[0]):
            self.add(file, "owner", (int(arguments[1]), int(arguments[2])))

    def do_fchownat(self, name: str, arguments: list[str], opened: str | None) -> None:
        assert text(arguments[1]) == b"", "by a name, not by a descriptor"
        self.do_fchown(name, [arguments[0], *arguments[2:]], opened)

    def do_fsync(self, _: str, arguments: list[str], __: str | None) -> None:
        path = behind(arguments[0])
        if f"{path}/".startswith(self.below):
            self.recording.steps.append(Sync(self.names.get(path, path), path))

    do_fdatasync = do_fsync

    def do_renameat(self, _: str, arguments: list[str], __: str | None) -> None:
        self.rename(at(arguments[0], arguments[1]), at(arguments[2], arguments[3]))

    def do_rename(self, _: str, arguments: list[str], __: str | None) -> None:
        self.rename(text(arguments[0]).decode(), text(arguments[1]).decode())

    def rename(self, old: str, new: str) -> None:
        if old.startswith(self.below) and (file := self.names.get(old)):
            assert Path(old).parent == Path(new).parent
            self.name(new, file)
            self.names.pop(old)
            # Both at once, for a rename is never seen by half.
            folder, _, name = old.rpartition("/")
            last = self.recording.steps[-1]
            self.recording.steps[-1] = Effect(folder, "name", (*last.value, name, None))

    def do_unlinkat(self, _: str, arguments: list[str], __: str | None) -> None:
        self.unlink(at(arguments[0], arguments[1]))

    def do_unlink(self, _: str, arguments: list[str], __: str | None) -> None:
        self.unlink(text(arguments[0]).decode())

    def unlink(self, path: str) -> None:
        if path.startswith(self.below) and path in self.names:
            self.name(path, None)


def record(trace: Path, below: Path, before: dict[str, File] | None = None) -> Recording:
    return Reader(below, before or {}).read(trace.read_text().splitlines())


# What may become of an effect that was not synced.
WHOLE, HALF, ZEROS, LOST = "whole", "half", "zeros", "lost"


def fates(effect: Effect) -> tuple[str, ...]:
    return (WHOLE, HALF, ZEROS, LOST) if effect.kind == "content" else (WHOLE, LOST)


@dataclass(frozen=True)
class Found:
    """What stands under a name after the cut."""

    content: bytes
    mode: int
    owner: int
    group: int

    @property
    def readers(self) -> set[str]:
        who = {(0o400, f"user {self.owner}"), (0o040, f"group {self.group}"), (0o004, "all")}
        return {name for bit, name in who if self.mode & bit}


def applied(file: File, effects: Iterable[tuple[Effect, str]]) -> Found:
    content, mode, owner, group = file.content, file.mode, file.owner, file.group
    for effect, fate in effects:
        if fate == LOST:
            continue
        match effect.kind:
            case "content":
                offset, new = effect.value
                if fate == HALF:
                    new = new[: len(new) // 2]
                if fate == ZEROS:
                    new = bytes(len(new))
                content = content[:offset].ljust(offset, b"\0") + new + content[offset + len(new) :]
            case "length":
                content = content[: effect.value].ljust(effect.value, b"\0")
            case "mode":
                mode = effect.value
            case "owner":
                user, new_group = effect.value
                owner = owner if user in (-1, 2**32 - 1) else user
                group = group if new_group in (-1, 2**32 - 1) else new_group
    return Found(content, mode, owner, group)


def names_of(effect: Effect) -> dict[str, File | None]:
    pairs = iter(effect.value)
    return dict(zip(pairs, pairs, strict=True))


def is_out_of_order(effects: list[Effect], choice: tuple[str, ...]) -> bool:
    """Whether a later change of a file's rights lasts where an earlier one is lost."""
    lost = set()
    for effect, fate in zip(effects, choice, strict=True):
        if effect.kind in ("mode", "owner"):
            if fate == LOST:
                lost.add(effect.place)
            elif effect.place in lost:
                return True
    return False


@dataclass
class Cut:
    """The power goes before step `index`: which effects last, and which may be lost."""

    index: int
    lasting: list[Effect]
    unsynced: list[Effect]

    def choices(self, place: File | str) -> Iterator[list[tuple[Effect, str]]]:
        """Each way in which the effects on one file, or on one directory's names, may end."""
        lasting = [(effect, WHOLE) for effect in self.lasting if effect.place == place]
        unsynced = [effect for effect in self.unsynced if effect.place == place]
        assert len(unsynced) <= 10, f"{len(unsynced)} effects wait for a sync of {place}"
        for choice in itertools.product(*(fates(effect) for effect in unsynced)):
            if not is_out_of_order(unsynced, choice):
                yield lasting + list(zip(unsynced, choice, strict=True))

    def directories(self, folder: str, before: dict[str, File]) -> Iterator[dict[str, File]]:
        """What may then stand in the directory."""
        for choice in self.choices(folder):
            there: dict[str, File | None] = {
                Path(p).name: f for p, f in before.items() if str(Path(p).parent) == folder
            }
            for effect, fate in choice:
                if fate == WHOLE:
                    there.update(names_of(effect))
            yield {name: file for name, file in there.items() if file is not None}

    def states(self, file: File) -> set[Found]:
        return {applied(file, choice) for choice in self.choices(file)}

    def contents(self, path: str, before: dict[str, File]) -> set[bytes | None]:
        """What may then stand under the path; None: nothing."""
        folder, _, name = path.rpartition("/")
        files = {there.get(name) for there in self.directories(folder, before)}
        return {state.content for file in files if file for state in self.states(file)} | ({None} & files)


def cuts(recording: Recording) -> Iterator[Cut]:
    for index in range(len(recording.steps) + 1):
        lasting, unsynced = [], []
        last_sync = {step.place: n for n, step in enumerate(recording.steps[:index]) if isinstance(step, Sync)}
        for n, step in enumerate(recording.steps[:index]):
            if isinstance(step, Effect):
                (lasting if n < last_sync.get(step.place, -1) else unsynced).append(step)
        yield Cut(index, lasting, unsynced)


@dataclass
class Generation:
    """A content that was put in the place of the one before; nothing, at first or where it was taken away."""

    begun: int
    put: int
    content: bytes | None


def generations(recording: Recording, path: str) -> list[Generation]:
    """What the path was to hold, in order. Each begins with its temporary file, and counts from its rename."""
    folder, _, name = path.rpartition("/")
    first = recording.before.get(path)
    found = [Generation(0, 0, first.content if first else None)]
    created: dict[File, int] = {}
    for index, step in enumerate(recording.steps):
        if not isinstance(step, Effect) or step.place != folder:
            continue
        for changed, file in names_of(step).items():
            if changed != name:
                if file is not None:
                    created.setdefault(file, index)
                continue
            whole = [(e, WHOLE) for e in recording.steps[:index] if isinstance(e, Effect) and e.place is file]
            content = applied(file, whole).content if file else None
            found.append(Generation(created.get(file, index), index, content))
    return found


def violations(recording: Recording, path: str, readers: set[str]) -> Iterator[str]:
    """Where a cut leaves what was never meant: neither the old content nor the new, or rights for others than those who
    may read it. Once the next is begun, and at the end, the one before must last."""
    known = generations(recording, path)
    for cut in cuts(recording):
        put = [g for g in known if g.put < cut.index or g is known[0]]
        newest = put[-1]
        begun = any(g.begun < cut.index for g in known[len(put) :])
        ended = cut.index == len(recording.steps)
        allowed = {newest.content} if begun or ended or len(put) == 1 else {newest.content, put[-2].content}
        for content in cut.contents(path, recording.before) - allowed:
            yield f"cut before step {cut.index}: {path} holds {content!r}, not one of {allowed!r}"
        folder, _, own = path.rpartition("/")
        named = {item for there in cut.directories(folder, recording.before) for item in there.items()}
        for name, file in named:
            for state in cut.states(file) if name == own or f".{own}." in name else ():
                if state.readers - readers:
                    yield f"cut before step {cut.index}: {name} can be read by {state.readers - readers}"
