"""Opens the blob store that the settings name."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from entrepot.errors import Invalid
from entrepot.settings import StorageSettings
from entrepot.storage.driver import Driver
from entrepot.storage.filesystem import FilesystemDriver
from entrepot.storage.store import BlobStore, StoredBlob


def open_store(settings: StorageSettings, data: Path, on_damage: Callable[[StoredBlob], None]) -> BlobStore:
    """Raises Invalid for a URL that no driver serves."""
    return BlobStore(_driver(settings, data), on_damage, settings.small_blob_bytes_max)


def _driver(settings: StorageSettings, data: Path) -> Driver:
    url = settings.url or f"file://{data.absolute() / 'storage'}"
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return FilesystemDriver(Path(urlsplit(url).path))
    if scheme in {"s3", "gs", "az"}:
        return _object_store(settings, url)
    raise Invalid(f"storage.url has the scheme {scheme!r}: use file, s3, gs or az")


def _object_store(settings: StorageSettings, url: str) -> Driver:
    # Imported here because it takes 60 ms, and a registry on local files starts without it.
    from obstore.store import from_url

    from entrepot.storage.object_store import ObjectStoreDriver

    options: dict[str, str] = dict(settings.options)
    allow_http = options.pop("allow_http", "false").lower() == "true"
    store = from_url(url, config=options, client_options={"allow_http": allow_http})  # type: ignore[call-overload]
    return ObjectStoreDriver(store, redirects=settings.redirect)
