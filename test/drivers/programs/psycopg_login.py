"""psycopg 3 with the libpq that its package brings."""

import ctypes
import glob
import os
import sys

import psycopg
import psycopg_binary
from lines import answer, failure, logins

# libpq 18 asks an application for its token by a hook (PQsetAuthDataHook). psycopg has no name for it, so it is set on the library itself.
BEARER_TOKEN = 1


class Request(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("run", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_void_p),
        ("user", ctypes.c_void_p),
    ]


Hook = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
token = None
asked = []


@Hook
def give_token(kind, _connection, request):
    if kind != BEARER_TOKEN or token is None:
        return 0
    asked.append(request.contents.openid_configuration.decode())
    request.contents.token = ctypes.cast(token, ctypes.c_void_p)
    return 1


libraries = os.path.join(os.path.dirname(psycopg_binary.__file__), "..", "psycopg_binary.libs")
libpq = ctypes.CDLL(glob.glob(os.path.join(libraries, "libpq-*.so*"))[0])
libpq.PQsetAuthDataHook(give_token)

version = psycopg.pq.version()
python = ".".join(map(str, sys.version_info[:3]))
answer({"version": f"psycopg {psycopg.__version__}, libpq {version // 10000}.{version % 10000}, Python {python}"})

for login in logins():
    settings = {
        "host": login["host"],
        "port": login["port"],
        "dbname": login["database"],
        "user": login["user"],
        "password": login.get("password"),
        "sslmode": {"off": "disable"}.get(login["tls"], login["tls"]),
        "sslrootcert": login.get("ca"),
        "sslcert": login.get("certificate"),
        "sslkey": login.get("key"),
        "channel_binding": login.get("binding"),
        "sslnegotiation": login.get("negotiation"),
        "oauth_issuer": login.get("issuer"),
        "oauth_client_id": "psycopg" if "issuer" in login else None,
        "connect_timeout": 10,
    }
    token = ctypes.create_string_buffer(login["token"].encode()) if "token" in login else None
    asked.clear()
    try:
        with psycopg.connect(**{name: value for name, value in settings.items() if value is not None}) as connection:
            row = connection.execute(
                "select current_user::text, %s::text, %s::int + 1", (login["said"], 41), prepare=True
            ).fetchone()
        answer({"who": row[0], "said": row[1], "next": row[2], "discovery": " ".join(asked)})
    except (psycopg.Error, OSError) as error:
        answer(failure(error))
