"""Where a grant or a token's limit holds: the registry, a namespace and all below it, a repository, or a pattern."""

import re
from dataclasses import dataclass
from functools import lru_cache

from entrepot.access.errors import GrantInvalid
from entrepot.oci.name import NAME_CHARACTERS_MAX, is_repository_name

REGISTRY, NAMESPACE, REPOSITORY, PATTERN = "registry", "namespace", "repository", "pattern"
KINDS = (REGISTRY, NAMESPACE, REPOSITORY, PATTERN)
_PATTERN = re.compile(r"[a-z0-9._/*-]+", re.ASCII)
_WILDCARD = re.compile(r"\*{2,}|\*")
WILDCARDS_MAX = 8


@dataclass(frozen=True, slots=True)
class Place:
    """`path` is empty for the registry; in a pattern, `*` stands for anything but a slash and `**` for anything."""

    kind: str
    path: str

    @classmethod
    def parse(cls, kind: str, path: str) -> "Place":
        """Raises GrantInvalid."""
        if kind == REGISTRY:
            if path not in {"", "/"}:
                raise GrantInvalid("the whole registry has no path: leave it empty, or name a namespace")
            return cls(kind, "")
        path = path.strip("/")
        if kind in {NAMESPACE, REPOSITORY}:
            if not is_repository_name(path):
                raise GrantInvalid(f"{path[:NAME_CHARACTERS_MAX]!r} is not the name of a {kind}")
            return cls(kind, path)
        if kind != PATTERN:
            raise GrantInvalid(f"the kind of a place must be one of {', '.join(KINDS)}")
        if len(path) > NAME_CHARACTERS_MAX or not _PATTERN.fullmatch(path):
            raise GrantInvalid("a pattern may contain only characters of repository names, * and **")
        if len(_WILDCARD.findall(path)) > WILDCARDS_MAX:
            raise GrantInvalid(f"a pattern has at most {WILDCARDS_MAX} wildcards")
        return cls(kind, path)

    def covers(self, path: str | None) -> bool:
        """Whether what is at this path (a namespace or a repository; None: the registry itself) is in this place."""
        if self.kind == REGISTRY:
            return True
        if path is None:
            return False
        if self.kind == NAMESPACE:
            return path == self.path or path.startswith(self.path + "/")
        if self.kind == REPOSITORY:
            return path == self.path
        return regular_expression(self.path).fullmatch(path) is not None

    def includes(self, other: "Place") -> bool:
        """Whether all that is in the other place, now and later, is in this one; False where that cannot be told."""
        if self.kind == REGISTRY or self == other:
            return True
        if self.kind == NAMESPACE:
            return other.anchor is not None and self.covers(other.anchor)
        return self.kind == PATTERN and other.kind == REPOSITORY and self.covers(other.path)

    @property
    def anchor(self) -> str | None:
        """The path of the namespace or repository that all of this place is in; None: there is none but the registry.

        A pattern's is what is before the last slash before its first wildcard.
        """
        if self.kind == REGISTRY:
            return None
        if self.kind != PATTERN:
            return self.path
        prefix = self.path.partition("*")[0].rpartition("/")[0]
        return prefix if is_repository_name(prefix) else None

    def __str__(self) -> str:
        return "the whole registry" if self.kind == REGISTRY else f"{self.kind} {self.path}"


@lru_cache(maxsize=10_000)
def regular_expression(pattern: str) -> re.Pattern[str]:
    return re.compile(expression(pattern), re.ASCII)


def expression(pattern: str) -> str:
    """The pattern for Python's expressions, which SQLite's are, too.

    Python tries one way after another: with eight wildcards, more of them than can ever be tried. So what follows a
    wildcard is taken where it comes first, for good (atomic groups): a later place would leave less for the rest.
    """
    first, *others = [_within_one(part) for part in re.split(r"\*{2,}", pattern)]
    if not others:
        return f"^{first}$"
    *between, last = others
    return f"^(?>{first}){''.join(f'(?>.*?{part})' for part in between)}.*?{last}$"


def plain_expression(pattern: str) -> str:
    """The same for PostgreSQL, which follows all ways at once, and has no atomic groups."""
    text, position = "", 0
    for wildcard in _WILDCARD.finditer(pattern):
        text += _literal(pattern[position : wildcard.start()]) + ("[^/]*" if wildcard.group() == "*" else ".*")
        position = wildcard.end()
    return f"^{text}{_literal(pattern[position:])}$"


def _within_one(part: str) -> str:
    """A part of a pattern that has only single wildcards."""
    first, *others = map(_literal, part.split("*"))
    if not others:
        return first
    *between, last = others
    return first + "".join(f"(?>[^/]*?{literal})" for literal in between) + "[^/]*?" + last


def _literal(text: str) -> str:
    return text.replace(".", "[.]")
