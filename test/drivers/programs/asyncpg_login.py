"""asyncpg, which speaks the protocol itself."""

import asyncio
import ssl
import sys

import asyncpg
from lines import answer, failure, logins


def tls(login):
    if login["tls"] == "off":
        return False
    if login["tls"] == "require":
        return "require"
    context = ssl.create_default_context(cafile=login.get("ca"))
    if "certificate" in login:
        context.load_cert_chain(login["certificate"], login["key"])
    if login.get("negotiation") == "direct":
        context.set_alpn_protocols(["postgresql"])
    return context


async def run(login):
    if login.get("binding") == "require":
        return {"cannot": "no option for channel binding"}
    connection = await asyncpg.connect(
        host=login["host"],
        port=int(login["port"]),
        database=login["database"],
        user=login["user"],
        password=login.get("password"),
        ssl=tls(login),
        direct_tls=login.get("negotiation") == "direct",
        timeout=10,
    )
    try:
        row = await connection.fetchrow("select current_user::text, $1::text, $2::int + 1", login["said"], 41)
        return {"who": row[0], "said": row[1], "next": row[2]}
    finally:
        await connection.close()


answer({"version": f"asyncpg {asyncpg.__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}"})
for one in logins():
    try:
        answer(asyncio.run(run(one)))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as problem:
        answer(failure(problem))
