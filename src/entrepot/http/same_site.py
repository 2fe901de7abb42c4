"""Whether a request was made by another site's page, in the name of whose browser it came from."""

from urllib.parse import urlsplit

from entrepot.http.messages import Request


def is_from_elsewhere(request: Request) -> bool:
    """As the browser says (Fetch Metadata, `Sec-Fetch-Site`), or, where it does not, by the Origin (RFC 6454).

    Browsers do not say it over plain HTTP. Schemes are not compared: a proxy in front may speak another one.
    """
    site = request.header(b"sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.header(b"origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != urlsplit(request.base_url).netloc
    except ValueError:
        return True
