"""Opens the blob store that the settings name."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from entrepot.errors import Invalid
from entrepot.settings import Settings, StorageSettings
from entrepot.storage.driver import Driver
from entrepot.storage.filesystem import FilesystemDriver
from entrepot.storage.store import BlobStore, StoredBlob

SCHEMES = ("file", "s3", "gs", "az")
RETRIES_MAX = 3
"""How often one call to an object store is tried again: clients wait, and come again themselves."""
UNLIMITED = timedelta(days=365)
"""For a whole transfer, which takes as long as its bytes need: the object store's client would end it after 30 s."""


def open_store(settings: StorageSettings, data: Path, on_damage: Callable[[StoredBlob], None]) -> BlobStore:
    """Raises Invalid for a URL that no driver serves."""
    return BlobStore(_driver(settings, data), on_damage, settings.small_blob_bytes_max)


def check_storage(settings: Settings) -> None:
    """Raises Invalid for a URL that no driver serves, and for options that its driver does not know."""
    url = settings.storage.url
    scheme = urlsplit(url).scheme
    if url and scheme not in SCHEMES:
        raise Invalid(f"storage.url has the scheme {scheme!r}: use {', '.join(SCHEMES)}")
    if url and scheme != "file":
        _object_store(settings.storage, url)


def _driver(settings: StorageSettings, data: Path) -> Driver:
    url = settings.url or f"file://{data.absolute() / 'storage'}"
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return FilesystemDriver(Path(urlsplit(url).path))
    if scheme in {"s3", "gs", "az"}:
        return _object_store(settings, url)
    raise Invalid(f"storage.url has the scheme {scheme!r}: use {', '.join(SCHEMES)}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _object_store(settings: StorageSettings, url: str) -> Driver:
    # Imported here because it takes 60 ms, and a registry on local files starts without it.
    from obstore.exceptions import BaseError
    from obstore.store import ObjectStore, from_url

    from entrepot.storage.object_store import ObjectStoreDriver

    options: dict[str, str] = dict(settings.options)
    allow_http = options.pop("allow_http", "false").lower() == "true"

    def client(silent_seconds: int) -> ObjectStore:
        """`silent_seconds` is the time until the first byte of an answer, sending included, and between two of it."""
        opened: ObjectStore = from_url(  # type: ignore[call-overload]
            url,
            config=options,
            client_options={
                "allow_http": allow_http,
                "connect_timeout": timedelta(seconds=settings.connect_seconds),
                "read_timeout": timedelta(seconds=silent_seconds),
                "timeout": UNLIMITED,
            },
            # No call that met a silent store begins again: that would take it twice its time.
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=silent_seconds)},
        )
        return opened

    try:
        reading, sending = client(settings.idle_seconds), client(settings.piece_seconds)
    except (BaseError, ValueError) as error:
        raise Invalid(f"storage.url or storage.options cannot be used: {_first_line(error)}") from None
    return ObjectStoreDriver(
        reading,
        sending,
        redirects=settings.redirect,
        call_seconds=settings.call_seconds,
        idle_seconds=settings.idle_seconds,
    )
