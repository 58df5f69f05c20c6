"""requests, and the digest that it brings."""

import sys

import requests
from lines import answer, failure, logins
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

answer({"version": f"requests {requests.__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}"})
for login in logins():
    scheme = login["scheme"]
    # Text it would send as Latin-1; the gateway asks for UTF-8 (RFC 7617).
    classes = {
        "basic": lambda user, password: HTTPBasicAuth(user.encode(), password.encode()),
        "digest": HTTPDigestAuth,
    }
    headers = {}
    if scheme == "bearer":
        headers["Authorization"] = f"Bearer {login['token']}"
    if scheme == "header":
        headers[login["header"]] = login["token"]
    try:
        response = requests.get(
            login["url"],
            auth=classes[scheme](login["user"], login["password"]) if scheme in classes else None,
            headers=headers,
            verify=login["ca"],
            cert=(login["certificate"], login["key"]) if "certificate" in login else None,
            timeout=10,
        )
        answer({"status": response.status_code, "body": response.text})
    except (requests.RequestException, OSError) as error:
        answer(failure(error))
