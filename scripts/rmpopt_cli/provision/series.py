# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a patch series from a directory or a mailbox and applies it to a tree."""
import contextlib
import mailbox
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import BadInput, Failure
from ..base.shell import environment
from .cache import sha256_text

SUBJECT = re.compile(r"\[[^\]]*PATCH[^\]]*?(?:\bv(\d+)\b[^\]]*?)?(?:(\d+)/(\d+))?\]\s*(.*)", re.S)
COVER_LETTER = re.compile(rb"^Subject: \[[^\]]*\b0+/\d+\]", re.M)
CHANGE = re.compile(rb"^(?:diff --git |\+\+\+ )", re.M)
NAMED = re.compile(rb"^(?:(---|\+\+\+) (/dev/null|[^/\s]+/[^\t\n]+)|(rename|copy) (?:from|to) (.+))", re.M)
ALLOWED_FUZZ = "1"


class DoesNotApply(Failure):
    """A patch does not apply to this source. It may apply to another."""


@dataclass(frozen=True)
class Patch:
    name: str
    content: bytes


def load(path: Path) -> list[Patch]:
    """The patches of a mailbox, or of a directory in the order of its "series" file or of their names. The cover letter
    is left out."""
    if path.is_dir():
        patches = _changes(path, [Patch(file.name, file.read_bytes()) for file in _files(path)])
    elif path.is_file():
        patches = _mailbox(path)
    else:
        raise BadInput(f"--patches {path}: no such file or directory")
    if not patches:
        raise BadInput(f"--patches {path}: no patches in there: give a directory of *.patch files or a mailbox")
    return patches


def _changes(path: Path, patches: list[Patch]) -> list[Patch]:
    empty = [patch for patch in patches if not CHANGE.search(patch.content)]
    for patch in empty:
        if not COVER_LETTER.search(patch.content):
            raise BadInput(f"--patches {path}: {patch.name} changes nothing: remove it or make it again")
    return [patch for patch in patches if patch not in empty]


def _files(path: Path) -> list[Path]:
    listing = path / "series"
    if not listing.is_file():
        return sorted([*path.glob("*.patch"), *path.glob("*.diff")])
    names = [line.split()[0] for line in listing.read_text().splitlines() if line.strip() and not line.startswith("#")]
    absent = [name for name in names if not (path / name).is_file()]
    if absent:
        raise BadInput(f"--patches {path}: its series file names {absent[0]}, which is not there")
    return [path / name for name in names]


def _mailbox(path: Path) -> list[Patch]:
    """The patches in a mail thread, of the newest version only. Replies and the cover letter are left out."""
    found: dict[int, dict[int, Patch]] = {}
    with contextlib.closing(mailbox.mbox(path, create=False)) as box:
        messages = list(box)
    for message in messages:
        subject = re.sub(r"\s+", " ", str(message.get("Subject", "")))
        matched = SUBJECT.match(subject)
        body = _body(message)
        if not matched or b"\ndiff --git " not in b"\n" + body:
            continue
        version, number = int(matched.group(1) or 1), int(matched.group(2) or 1)
        found.setdefault(version, {})[number] = Patch(f"{number:04}: {matched.group(4)}", body)
    if not found:  # a plain diff is fine, too
        content = path.read_bytes()
        return [Patch(path.name, content)] if b"\n+++ " in b"\n" + content else []
    newest = found[max(found)]
    return [newest[number] for number in sorted(newest)]


def _body(message: mailbox.mboxMessage) -> bytes:
    parts = [part for part in message.walk() if not part.is_multipart()]
    payload = [part.get_payload(decode=True) for part in parts]
    return b"\n".join(p for p in payload if isinstance(p, bytes)).replace(b"\r\n", b"\n")


def digest(patches: list[Patch]) -> str:
    return sha256_text(*(patch.content.hex() for patch in patches))


def touched(patches: list[Patch]) -> dict[str, bool]:
    """The names of the files that the patches touch, with False for files that the patches create."""
    found: dict[str, bool] = {}
    for patch in patches:
        before = b""
        for mark, name, moved, moved_name in NAMED.findall(patch.content):
            if mark == b"---":
                before = name
            plain = moved_name if moved else name.partition(b"/")[2]
            if name != b"/dev/null":
                found.setdefault(os.fsdecode(plain), mark != b"+++" or before != b"/dev/null")
    outside = [name for name in found if name.startswith("/") or ".." in Path(name).parts]
    if outside:
        raise BadInput(f"--patches: {outside[0]} is outside of the kernel's tree")
    return found


def apply(patches: list[Patch], tree: Path) -> None:
    """Applies all patches. If one fails, the exception tells which, and where. The tree may hold the touched files
    only."""
    for patch in patches:
        problem = _git_apply(patch, tree)
        if problem:
            problem = _fuzzy_apply(patch, tree)
        if "malformed patch" in problem:
            raise BadInput(f"patch {patch.name} is damaged ({problem.lstrip('patch: *')})")
        if problem:
            raise DoesNotApply(f"patch {patch.name} does not apply ({problem})")


def _run(words: list[str], patch: Patch, tree: Path) -> tuple[int, str]:
    # Otherwise git finds a repository that contains the tree, and then skips files that are not in it.
    done = subprocess.run(words, input=patch.content, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tree,
                          env=environment({"GIT_CEILING_DIRECTORIES": str(tree.resolve().parent)}))
    return done.returncode, done.stdout.decode(errors="replace")


def _git_apply(patch: Patch, tree: Path) -> str:
    if not shutil.which("git"):
        return "git is missing"
    status, text = _run(["git", "apply", "-p1", "--whitespace=nowarn", "-"], patch, tree)
    return "" if status == 0 else text.strip().splitlines()[0] if text.strip() else "git apply failed"


def _fuzzy_apply(patch: Patch, tree: Path) -> str:
    """The same with some fuzz, for a kernel that differs a little. A dry run comes first, to keep the tree intact."""
    words = ["patch", "-p1", "-N", "-t", "-F", ALLOWED_FUZZ, "--no-backup-if-mismatch", "-r", "-"]
    status, text = _run([*words, "--dry-run"], patch, tree)
    if status == 0:
        status, text = _run(words, patch, tree)
    if status == 0:
        return ""
    return _where(text)


def _where(text: str) -> str:
    file = ""
    for line in text.splitlines():
        named = re.match(r"(?:checking|patching) file '?([^']+)'?", line)
        file = named.group(1) if named else file
        if "FAILED" in line:
            return f"{file}: {line.strip()}"
        if "can't find file" in line:
            wanted = re.search(r"^\|(?:---|\+\+\+) [ab]/(\S+)", text, re.M)
            return f"{wanted.group(1) if wanted else 'a file'} is not in this kernel"
        if "previously applied" in line:
            return f"{file}: already applied"
    return text.strip().splitlines()[-1] if text.strip() else "patch failed"
