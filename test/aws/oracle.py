# AWS's own library for Python, beside which signatures are held: signs the requests that it reads, a JSON object a line.
import datetime
import json
import sys

import botocore.auth
import botocore.awsrequest
import botocore.credentials


def sign(given):
    now = datetime.datetime.fromisoformat(given["now"])
    botocore.auth.get_current_datetime = lambda *_, **__: now
    credentials = botocore.credentials.Credentials(given["id"], given["secret"], given.get("token"))
    kind = botocore.auth.S3SigV4Auth if given["service"] == "s3" else botocore.auth.SigV4Auth
    request = botocore.awsrequest.AWSRequest(
        method=given["method"],
        url=given["url"],
        headers={name: value.encode("latin-1").decode("utf-8") for name, value in given["headers"].items()},
        data=bytes.fromhex(given["body"]),
    )
    # Signed as sent: that a session chooses not to cover a body over TLS is its own matter.
    request.context["client_config"] = None
    request.context["payload_signing_enabled"] = True
    auth = kind(credentials, given["service"], given["region"])
    auth.add_auth(request)
    return request.headers["Authorization"]


for line in sys.stdin:
    print(sign(json.loads(line)))
