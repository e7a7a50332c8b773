"""Symbolic links: followed without circles, left out, or made again, but never out of the chosen folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from kegbrowser.backends.base import Capabilities, EntryKind, ListEntry, Page
from kegbrowser.backends.errors import AlreadyExists, Cancelled, NotSupported
from kegbrowser.backends.local import LocalStorage
from kegbrowser.backends.memory import MemoryStorage
from kegbrowser.transfer.cancel import CancelToken
from kegbrowser.transfer.conflicts import Conflicts
from kegbrowser.transfer.jobs import ConflictPolicy, LinkPolicy, Source
from kegbrowser.transfer.links import LocalLinks, RemoteLinks, leads_out
from kegbrowser.transfer.local_tree import LocalTree
from kegbrowser.transfer.local_walk import walk_local
from kegbrowser.transfer.plan import Found, FoundFile, FoundFolder, FoundLink, NotFound, WalkRules, walk_remote
from kegbrowser.transfer.questions import Answer, Question
from kegbrowser.transfer.remote_tree import RemoteTree
from tests.doubles.engine import QUICK_RETRY, put


def _tree(folder: Path) -> Path:
    """A folder `top` with links of every kind, and one `outside` beside it."""
    top = folder / "top"
    (top / "real/deep").mkdir(parents=True)
    (top / "real/deep/f").write_bytes(b"1")
    (top / "to file").symlink_to("real/deep/f")
    (top / "to folder").symlink_to("real")
    (top / "real/up").symlink_to("..")
    (top / "dangling").symlink_to("nowhere")
    (folder / "outside").mkdir()
    (folder / "outside/g").write_bytes(b"2")
    (folder / "outside/back").symlink_to(top)
    (top / "out").symlink_to(folder / "outside")
    return top


def _local(top: Path, links: LinkPolicy) -> list[Found]:
    return list(walk_local((str(top),), rules=WalkRules(links)))


def _names(found: list[Found], kind: type) -> set[str]:
    return {"/".join(item.parts[1:]) for item in found if isinstance(item, kind) and not isinstance(item, NotFound)}


def _refused(found: list[Found], top: str) -> set[str]:
    return {item.path.rstrip("/").removeprefix(f"{top}/") for item in found if isinstance(item, NotFound)}


def test_links_to_files_are_followed_and_those_to_folders_told(tmp_path: Path) -> None:
    top = _tree(tmp_path)
    found = _local(top, LinkPolicy.FOLLOW_FILES)

    assert _names(found, FoundFile) == {"real/deep/f", "to file"}
    assert _refused(found, str(top)) == {"to folder", "real/up", "dangling", "out"}


def test_links_to_folders_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    top = _tree(tmp_path)
    found = _local(top, LinkPolicy.FOLLOW)

    assert _names(found, FoundFile) == {"real/deep/f", "to file", "to folder/deep/f", "out/g"}
    assert _refused(found, str(top)) == {"real/up", "to folder/up", "out/back", "dangling"}


def test_folder_above_the_chosen_one_is_no_way_around(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").write_bytes(b"")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    found = _local(tmp_path / "a/b", LinkPolicy.FOLLOW)

    assert _names(found, FoundFile) == {"f"}
    assert _refused(found, str(tmp_path / "a/b")) == {"up/b"}


@pytest.mark.parametrize("links", [LinkPolicy.SKIP, LinkPolicy.RECREATE])
def test_links_are_found_as_such(tmp_path: Path, links: LinkPolicy) -> None:
    top = _tree(tmp_path)
    found = _local(top, links)

    targets = {"/".join(one.parts[1:]): one.target for one in found if isinstance(one, FoundLink)}
    assert targets.pop("out") == str(tmp_path / "outside")
    assert targets == {"to file": "real/deep/f", "to folder": "real", "real/up": "..", "dangling": "nowhere"}
    assert {one.is_wanted for one in found if isinstance(one, FoundLink)} == {links is LinkPolicy.RECREATE}
    assert {one.parts[-1] for one in found if isinstance(one, FoundLink) and one.is_folder} == {
        "to folder",
        "up",
        "out",
    }
    assert _names(found, FoundFile) == {"real/deep/f"}


def test_chosen_link_is_followed_whatever_the_rules(tmp_path: Path) -> None:
    top = _tree(tmp_path)
    found = list(walk_local((str(top / "to file"), str(top / "to folder")), rules=WalkRules(LinkPolicy.SKIP)))

    assert {item.parts for item in found if isinstance(item, FoundFile)} == {("to file",), ("to folder", "deep", "f")}


def test_empty_and_very_deep_folders_are_found(tmp_path: Path) -> None:
    deep = tmp_path / "top" / "/".join("d" * 50)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"")
    (tmp_path / "top/d/d/empty").mkdir()
    found = _local(tmp_path / "top", LinkPolicy.FOLLOW_FILES)

    assert _names(found, FoundFile) == {"/".join("d" * 50) + "/f"}
    assert _names(found, FoundFolder) == {"d/d/empty"}


def test_walk_that_is_given_up_leaves_no_folder_open(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/c/f").write_bytes(b"")
    before = len(list(Path("/proc/self/fd").iterdir()))
    walk = walk_local((str(tmp_path),))
    next(walk)
    during = len(list(Path("/proc/self/fd").iterdir()))
    walk.close()  # type: ignore[attr-defined]  # a generator

    assert during > before
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_permissions_are_told_only_where_they_are_to_be_kept(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "f").chmod(0o4751)

    def modes(found: list[Found]) -> list[int | None]:
        return [item.permissions for item in found if isinstance(item, FoundFile)]

    storage = LocalStorage(str(tmp_path))
    for keep, expected in ((True, 0o751), (False, None)):
        rules = WalkRules(keep_permissions=keep)
        remote = walk_remote(storage, (Source("f", is_folder=False),), "", QUICK_RETRY, CancelToken(), rules)
        assert modes(list(walk_local((str(tmp_path / "f"),), rules=rules))) == [expected]
        assert modes(list(remote)) == [expected]
    storage.shutdown()


# -- links of a storage --------------------------------------------------------------------------------------------------


class _Linked(MemoryStorage):
    """Lists links: path -> target; those that end in "/" lead to folders."""

    capabilities = Capabilities(real_folders=True, links=True)

    def __init__(self, links: dict[str, str]) -> None:
        super().__init__()
        self.links = links

    def _real(self, path: str) -> str:
        for _step in range(40):
            for link, target in self.links.items():
                if path.startswith(link):
                    steps = link.rstrip("/").split("/")[:-1]
                    for step in target.split("/"):
                        steps = steps[:-1] if step == ".." else [*steps, step]
                    path = "/".join([*steps, path[len(link) :]]).lstrip("/")
                    break
            else:
                return path
        raise AssertionError(f"a circle: {path}")

    def list_pages(self, path: str, *, recursive: bool = False):  # type: ignore[no-untyped-def]
        real = self._real(path)
        yield from super().list_pages(real, recursive=recursive)
        for link, target in self.links.items():
            if link.startswith(real):
                kind = EntryKind.FOLDER if link.endswith("/") else EntryKind.LINK
                yield Page((ListEntry(link[len(real) :].rstrip("/"), None, 0, kind, link_target=target),))


def _remote(storage: MemoryStorage, links: LinkPolicy) -> list[Found]:
    source = (Source("top/", is_folder=True),)
    return list(walk_remote(storage, source, "", QUICK_RETRY, CancelToken(), WalkRules(links)))


def _filled() -> _Linked:
    storage = _Linked(
        {"top/sub/up/": "..", "top/other/": "../beside", "beside/again/": "../top/sub", "top/file": "sub/f"}
    )
    put(storage, "top/sub/f")
    put(storage, "beside/g")
    return storage


def test_links_of_a_storage_are_followed_but_never_in_a_circle() -> None:
    found = _remote(_filled(), LinkPolicy.FOLLOW)

    assert _names(found, FoundFile) == {"sub/f", "file", "other/g", "other/again/f"}
    assert _refused(found, "top") == {"sub/up", "other/again/up"}


def test_links_of_a_storage_are_found_as_such() -> None:
    found = _remote(_filled(), LinkPolicy.RECREATE)

    assert {(item.path, item.target) for item in found if isinstance(item, FoundLink)} == {
        ("top/sub/up", ".."),
        ("top/other", "../beside"),
        ("top/file", "sub/f"),
    }
    assert _names(found, FoundFile) == {"sub/f"}


def test_links_to_folders_of_a_storage_are_told_unless_they_are_followed() -> None:
    assert _refused(_remote(_filled(), LinkPolicy.FOLLOW_FILES), "top") == {"sub/up", "other"}


# -- made again ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "target", "is_out"),
    [
        (("top", "l"), "f", False),
        (("top", "l"), "sub/./f", False),
        (("top", "l"), "..", True),
        (("top", "l"), "../top/f", True),
        (("top", "sub", "l"), "..", False),
        (("top", "sub", "l"), "../other/f", False),
        (("top", "sub", "l"), "../..", True),
        (("top", "l"), "sub/../f", True),  # sub may be a link itself
        (("top", "l"), "/etc/passwd", True),
        (("top", "l"), "//host/share", True),
        (("top", "l"), "", True),
        (("top", "l"), "a\0b", True),
        (("top", "l"), "new\nline", True),
        (("l",), "f", False),
        (("l",), "../f", True),
    ],
)
def test_link_out_of_the_chosen_folder_is_known(parts: tuple[str, ...], target: str, is_out: bool) -> None:
    assert leads_out(parts, target, windows=False) is is_out


@pytest.mark.parametrize("target", ["C:f", "C:\\f", "..\\f", "a\\..\\..\\f"])
def test_link_out_of_the_chosen_folder_is_known_on_windows(target: str) -> None:
    assert leads_out(("top", "l"), target, windows=True)


def _no_question(question: Question) -> Answer:
    raise Cancelled


def _link(target: str, *parts: str) -> FoundLink:
    return FoundLink("/".join(parts), parts, target, is_folder=False, is_wanted=True)


def _links(folder: Path, policy: ConflictPolicy = ConflictPolicy.SKIP) -> LocalLinks:
    return LocalLinks(LocalTree(str(folder)), Conflicts(_no_question, policy), more_to_come=True)


def test_links_are_made_again_on_the_disk(tmp_path: Path) -> None:
    links = _links(tmp_path)

    assert links.make(_link("../f", "top", "sub", "l"))
    assert links.make(_link("../f", "top", "sub", "l"))  # it is there already
    assert (tmp_path / "top/sub/l").readlink() == Path("../f")


def test_chain_of_links_cannot_lead_out(tmp_path: Path) -> None:
    links = _links(tmp_path)
    links.make(_link("../..", "top", "a", "b", "up"))

    with pytest.raises(NotSupported, match="leads out"):
        links.make(_link("a/b/up/..", "top", "trap"))
    assert not (tmp_path / "top/trap").is_symlink()


def test_link_in_the_place_of_a_folder_is_not_gone_through(tmp_path: Path) -> None:
    (tmp_path / "in/top").mkdir(parents=True)
    (tmp_path / "in/top/sub").symlink_to(tmp_path)

    _links(tmp_path / "in").make(_link("f", "top", "sub", "l"))

    assert not (tmp_path / "l").is_symlink()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ConflictPolicy.SKIP, {"l": "mine"}),
        (ConflictPolicy.OVERWRITE, {"l": "-> f"}),
        (ConflictPolicy.RENAME, {"l": "mine", "l (2)": "-> f"}),
    ],
)
def test_clash_of_a_link_is_settled_by_policy(tmp_path: Path, policy: ConflictPolicy, expected: dict[str, str]) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "top/l").write_text("mine")

    made = _links(tmp_path, policy).make(_link("f", "top", "l"))

    there = {
        path.name: f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in (tmp_path / "top").iterdir()
    }
    assert there == expected
    assert made is (policy is not ConflictPolicy.SKIP)


class _Holding(_Linked):
    def make_link(self, path: str, target: str) -> None:
        if path in self.links:
            raise AlreadyExists("taken", path=path)
        self.links[path] = target

    def stat(self, path: str) -> ListEntry:
        if path in self.links:
            return ListEntry(path.rpartition("/")[2], None, 1, EntryKind.LINK, link_target=self.links[path])
        return super().stat(path)

    def delete(self, path: str) -> None:
        if self.links.pop(path, None) is None:
            super().delete(path)


def _remote_links(storage: MemoryStorage, policy: ConflictPolicy, *, is_foreign: bool = False) -> RemoteLinks:
    tree = RemoteTree(storage, "t/", QUICK_RETRY, CancelToken())
    tree.prepare()
    conflicts = Conflicts(_no_question, policy)
    return RemoteLinks(storage, tree, conflicts, str, more_to_come=True, is_foreign=is_foreign)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ConflictPolicy.SKIP, {"t/top/l": "old"}),
        (ConflictPolicy.OVERWRITE, {"t/top/l": "/new"}),
        (ConflictPolicy.RENAME, {"t/top/l": "old", "t/top/l (2)": "/new"}),
    ],
)
def test_links_are_made_again_at_a_storage(policy: ConflictPolicy, expected: dict[str, str]) -> None:
    storage = _Holding({"t/top/l": "old"})
    for folder in ("t/", "t/top/"):
        storage.make_folder(folder)

    _remote_links(storage, policy).make(_link("/new", "top", "l"), ("top", "l"))

    assert storage.links == expected


def test_link_of_a_foreign_server_never_leads_out() -> None:
    storage = _Holding({})

    with pytest.raises(NotSupported, match="leads out"):
        _remote_links(storage, ConflictPolicy.SKIP, is_foreign=True).make(_link("/etc", "top", "l"), ("top", "l"))
    assert storage.links == {}


def test_storage_without_links_says_so() -> None:
    with pytest.raises(NotSupported, match="holds no links"):
        _remote_links(MemoryStorage(), ConflictPolicy.SKIP).make(_link("f", "top", "l"), ("top", "l"))
