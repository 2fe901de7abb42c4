"""Users and groups of a directory: OpenLDAP, Active Directory and their like.

With `bind_dn` a user is searched by a service account and then binds with the name that was found; without it the user
binds as `user_bind` says and is searched with the user's own rights. Either way the password is proven by a bind of
exactly the entry that the user becomes. All groups come by one query, or on servers without a rule for nested groups by
one for each level of nesting. Errors by which a server fails lead to the next one (`ldap_servers.py`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from entrepot.identity.errors import AccountDisabled, CredentialsInvalid, ProviderUnavailable, TooManyLogins
from entrepot.identity.external import ExternalUser
from entrepot.identity.ldap_answers import WRONG, Refused, admitted
from entrepot.identity.ldap_entries import (
    STATE_ATTRIBUTES,
    Entry,
    account_problem,
    password_problem,
    primary_group_sid,
    subject,
    subject_value,
)
from entrepot.identity.ldap_escape import DN, NAME, escaped, filled, is_name
from entrepot.identity.ldap_servers import BoundAs, Line, Server, Servers, check_filter
from entrepot.settings import LDAPProvider, SettingsInvalid

PASSWORD_CHARACTERS_MAX = 1024
WAITING_MAX = 64
"""Questions of a worker to one directory that may wait or be under way."""
STEPS_MAX = 6
"""Answers that one question may wait for in full before it is given up, beside the servers that do not answer."""
NESTING_LEVELS_MAX = 8
"""Levels of groups in groups that are followed where the directory has no rule for that."""
GROUPS_MAX = 2000
"""Groups of one user; more are left out, which the log says."""
GROUPS_IN_QUERY_MAX = 50
"""Groups whose own groups are asked for by one query."""

AD_PERSON = "(&(objectCategory=person)(objectClass=user){who})"
AD_MEMBER_IN_CHAIN = "(member:1.2.840.113556.1.4.1941:={dn})"
AD_SECURITY_GROUP = "(&(objectCategory=group)(groupType:1.2.840.113556.1.4.803:=2147483648){which})"
"""Groups for mail alone are left out: whoever may join those shall not get rights by that."""
MEMBER_OF_GROUP = "(member={dn})(uniqueMember={dn})"
MEMBER_OF_POSIX_GROUP = "(memberUid={name})"

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


class LDAPDirectory:
    """A `PasswordProvider`. Every question runs in a thread of its own few; the event loop never waits."""

    def __init__(self, settings: LDAPProvider) -> None:
        """Asks nothing yet. Raises SettingsInvalid for what can never work: a malformed URL or filter, no file."""
        _check(settings)
        self._settings = settings
        self._active_directory = settings.directory == "active-directory"
        self._subject_attribute = settings.subject_attribute or (
            "objectGUID" if self._active_directory else "entryUUID"
        )
        self._name_attribute = settings.name_attribute or ("sAMAccountName" if self._active_directory else "uid")
        self._servers = Servers(settings)
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix=f"ldap-{settings.name}")
        self._waiting = 0
        self._seconds_max = settings.timeout_seconds * (STEPS_MAX + len(settings.urls))

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def refresh_seconds(self) -> int:
        return self._settings.refresh_seconds

    async def authenticate(self, name: str, password: str) -> ExternalUser | None:
        """The user with this name and password; None when the directory knows no such name.

        Raises CredentialsInvalid, AccountDisabled, AccountLocked, ProviderUnavailable, TooManyLogins.
        """
        account = _account(name) if self._active_directory else name
        if not is_name(account):
            return None
        # A bind without a password is an anonymous one, and succeeds (RFC 4513, 5.1.2). Some servers end it at a NUL.
        if not password or "\0" in password or len(password) > PASSWORD_CHARACTERS_MAX or not _encodable(password):
            raise CredentialsInvalid(WRONG)
        work = self._by_service if self._settings.bind_dn else self._by_user
        return await self._in_thread(self._servers.ask, lambda server: work(server, account, password))

    @property
    def can_find(self) -> bool:
        return bool(self._settings.bind_dn)

    async def find(self, subject: str) -> ExternalUser | None:
        """The user as the directory knows it now; None when it is gone, disabled or expired.

        Raises ProviderUnavailable, also without `bind_dn`: then only users who sign in can be asked about.
        """
        if not self._settings.bind_dn:
            raise ProviderUnavailable(
                f"directory {self.name}: set bind_dn; without it, users can be looked up only while they sign in"
            )
        return await self._in_thread(self._servers.ask, lambda server: self._find(server, subject))

    async def close(self) -> None:
        """End all connections; a question under way gets ProviderUnavailable."""
        await asyncio.get_running_loop().run_in_executor(None, self._servers.close)
        self._threads.shutdown(wait=False)

    async def _in_thread(self, function: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
        if self._waiting >= WAITING_MAX:
            raise TooManyLogins("too many logins are waiting for the directory: try again in a few seconds")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds_max):
                return await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: function(*arguments, **options)
                )
        except TimeoutError:
            self._servers.abort(self._seconds_max / 2)
            message = f"directory {self.name}: no complete answer within {self._seconds_max} s"
            raise ProviderUnavailable(message) from None
        except Refused as refused:
            raise ProviderUnavailable(f"directory {self.name}: {refused.message}") from None
        finally:
            self._waiting -= 1

    # The three questions, each to one server.

    def _by_service(self, server: Server, name: str, password: str) -> ExternalUser | None:
        with server.line(BoundAs.SERVICE) as line:
            entry = self._entry(line, self._user_filter(name))
        if entry is None:
            return None
        with server.line(BoundAs.USER) as line:
            answer = line.bind(entry.dn, password)
        if not admitted(answer):
            return None
        _refuse_unusable(entry)
        with server.line(BoundAs.SERVICE) as line:
            return self._user(line, entry)

    def _by_user(self, server: Server, name: str, password: str) -> ExternalUser | None:
        bound_as = self._bind_name(name)
        with server.line(BoundAs.USER) as line:
            answer = line.bind(bound_as, password)
            if not admitted(answer):
                return None
            entry = self._entry(line, self._user_filter(name))
            if entry is None:
                return None
            # The name that binds and the name that is searched may be of two users; the entry's own name is not.
            if entry.dn.casefold() != bound_as.casefold() and not admitted(line.bind(entry.dn, password)):
                return None
            _refuse_unusable(entry)
            return self._user(line, entry)

    def _find(self, server: Server, wanted: str) -> ExternalUser | None:
        value = subject_value(wanted, self._subject_attribute)
        if value is None:
            return None
        # Who does not fit user_filter any more, whatever the name, may not sign in any more.
        query = f"(&({self._subject_attribute}={value}){self._any_user_filter()})"
        with server.line(BoundAs.SERVICE) as line:
            entry = self._entry(line, query)
            if entry is None or account_problem(entry, datetime.now(UTC)) is not None:
                return None
            return self._user(line, entry)

    # Filters and names.

    def _user_filter(self, name: str) -> str:
        if self._settings.user_filter:
            return filled(self._settings.user_filter, name=name)
        own = f"({self._name_attribute}={escaped(name)})"
        if not self._active_directory:
            return own
        return AD_PERSON.replace("{who}", self._principal(name) if "@" in name else own)

    def _any_user_filter(self) -> str:
        if self._settings.user_filter:
            return self._settings.user_filter.replace(NAME, "*")
        present = f"({self._name_attribute}=*)"
        return AD_PERSON.replace("{who}", present) if self._active_directory else present

    def _principal(self, name: str) -> str:
        """`user@domain`: the attribute, or for accounts without it what Active Directory takes for it."""
        explicit = f"(userPrincipalName={escaped(name)})"
        account, _, domain = name.rpartition("@")
        if domain.casefold() != _domain(self._settings.user_base):
            return explicit
        return f"(|{explicit}(&(sAMAccountName={escaped(account)})(!(userPrincipalName=*))))"

    def _bind_name(self, name: str) -> str:
        template = self._settings.user_bind
        if "=" in template:
            return filled(template, name=name)
        # A principal's name is no grammar: nothing has to be escaped in it, and the entry is proven after.
        return name if "@" in name and "@" in template else template.replace(NAME, name)

    # Entries and groups.

    def _entry(self, line: Line, query: str) -> Entry | None:
        settings = self._settings
        attributes = {
            self._subject_attribute,
            self._name_attribute,
            settings.display_name_attribute,
            settings.email_attribute,
            *STATE_ATTRIBUTES[settings.directory],
        }
        answer = line.search(settings.user_base, query, sorted(filter(None, attributes)), entries_max=1)
        if not answer.complete:
            raise ProviderUnavailable(
                f"directory {self.name}: more than one entry for one name: make user_filter or user_base narrower"
            )
        return answer.entries[0] if answer.entries else None

    def _user(self, line: Line, entry: Entry) -> ExternalUser:
        settings = self._settings
        identity, name = subject(entry, self._subject_attribute), entry.text(self._name_attribute)
        for value, attribute in (
            (identity, f"subject_attribute ({self._subject_attribute})"),
            (name, f"name_attribute ({self._name_attribute})"),
        ):
            if not value:
                raise ProviderUnavailable(
                    f"directory {self.name}: {entry.dn} has no {attribute}: set another, or let bind_dn read it"
                )
        return ExternalUser(
            subject=identity,
            name=name,
            display_name=entry.text(settings.display_name_attribute),
            email=entry.text(settings.email_attribute),
            groups=self._groups(line, entry, name),
        )

    def _groups(self, line: Line, entry: Entry, name: str) -> tuple[str, ...]:
        if self._settings.group_filter:
            found = self._search_groups(line, filled(self._settings.group_filter, name=name, dn=entry.dn))
        elif self._active_directory:
            which = filled(AD_MEMBER_IN_CHAIN, dn=entry.dn)
            sid = primary_group_sid(entry)
            if sid is not None:
                which = f"(|{which}(objectSid={escaped(sid)}))"
            found = self._search_groups(line, AD_SECURITY_GROUP.replace("{which}", which))
        else:
            found = self._walk(line, entry, name)
        if len(found) > GROUPS_MAX:
            _log.warning("directory %s: %s is in more than %d groups", self.name, name, GROUPS_MAX)
        names = {group.text(self._settings.group_name_attribute) for group in found[:GROUPS_MAX]}
        return tuple(sorted(names - {""}))

    def _walk(self, line: Line, entry: Entry, name: str) -> list[Entry]:
        """Groups of the user, groups of those groups, and so on; one query for each level, loops end by themselves."""
        direct = filled(f"(|{MEMBER_OF_GROUP}{MEMBER_OF_POSIX_GROUP})", name=name, dn=entry.dn)
        newest = self._search_groups(line, direct)
        found = {group.dn.casefold(): group for group in newest}
        for _ in range(NESTING_LEVELS_MAX):
            if not newest or len(found) > GROUPS_MAX:
                return list(found.values())
            above: dict[str, Entry] = {}
            for some in _pieces(newest, GROUPS_IN_QUERY_MAX):
                members = "".join(filled(MEMBER_OF_GROUP, dn=group.dn) for group in some)
                above |= {group.dn.casefold(): group for group in self._search_groups(line, f"(|{members})")}
            newest = [group for dn, group in above.items() if dn not in found]
            found |= above
        if newest:
            _log.warning("directory %s: groups of %s are nested too deep to follow", self.name, name)
        return list(found.values())

    def _search_groups(self, line: Line, query: str) -> list[Entry]:
        base = self._settings.group_base or self._settings.user_base
        answer = line.search(base, query, [self._settings.group_name_attribute], entries_max=GROUPS_MAX + 1)
        return answer.entries


def _check(settings: LDAPProvider) -> None:
    """What would otherwise let in, or give the groups of, whoever the filter happens to find."""
    where = f"provider {settings.name}"
    user_filter, group_filter = settings.user_filter, settings.group_filter
    if user_filter and NAME not in user_filter:
        raise SettingsInvalid(f"{where}: user_filter must contain {NAME}, which becomes the name")
    if group_filter and DN not in group_filter and NAME not in group_filter:
        raise SettingsInvalid(f"{where}: group_filter must contain {DN}, which becomes the user's DN, or {NAME}")
    for key, query in (("user_filter", user_filter), ("group_filter", group_filter)):
        if query:
            check_filter(f"{where}: {key}", query)
    if settings.bind_dn and not settings.bind_password.get_secret_value() and settings.bind_password_file is None:
        raise SettingsInvalid(f"{where}: bind_dn needs bind_password or bind_password_file")


def _refuse_unusable(entry: Entry) -> None:
    problem = account_problem(entry, datetime.now(UTC)) or password_problem(entry)
    if problem is not None:
        raise AccountDisabled(problem)


def _account(name: str) -> str:
    """`DOMAIN\\user` without the domain: a directory's base is one domain, and the password is that of its user."""
    domain, separator, account = name.partition("\\")
    return account if separator and is_name(domain) else name


def _domain(base: str) -> str:
    """The domain of a base, `DC=example,DC=test`."""
    parts = (part.strip().partition("=") for part in base.split(","))
    return ".".join(value.strip() for key, _, value in parts if key.strip().casefold() == "dc").casefold()


def _encodable(password: str) -> bool:
    """Not with half of a pair of UTF-16, which has no UTF-8."""
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pieces(groups: list[Entry], size: int) -> Iterable[list[Entry]]:
    return (groups[start : start + size] for start in range(0, len(groups), size))
