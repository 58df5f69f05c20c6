"""httpx, and the digest that it brings."""

import ssl
import sys

import httpx
from lines import answer, failure, logins

answer({"version": f"httpx {httpx.__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}"})
for login in logins():
    scheme = login["scheme"]
    classes = {"basic": httpx.BasicAuth, "digest": httpx.DigestAuth}
    headers = {}
    if scheme == "bearer":
        headers["Authorization"] = f"Bearer {login['token']}"
    if scheme == "header":
        headers[login["header"]] = login["token"]
    context = ssl.create_default_context(cafile=login["ca"])
    if "certificate" in login:
        context.load_cert_chain(login["certificate"], login["key"])
    try:
        response = httpx.get(
            login["url"],
            auth=classes[scheme](login["user"], login["password"]) if scheme in classes else None,
            headers=headers,
            verify=context,
            timeout=10,
        )
        answer({"status": response.status_code, "body": response.text})
    except (httpx.HTTPError, OSError) as error:
        answer(failure(error))
