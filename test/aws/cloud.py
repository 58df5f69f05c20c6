"""moto's server, which answers as AWS would, and a user of it who may use S3: prints the server's URL, then the user's key as JSON."""

import json
import os
import sys

import boto3
from moto.server import ThreadedMotoServer

for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ[name] = "nobody-is-asked-yet"
os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"

iam = boto3.client("iam", endpoint_url=url)
iam.create_user(UserName="gateway")
rules = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
policy = json.dumps({"Version": "2012-10-17", "Statement": rules})
iam.put_user_policy(UserName="gateway", PolicyName="s3", PolicyDocument=policy)
key = iam.create_access_key(UserName="gateway")["AccessKey"]
boto3.client("s3", endpoint_url=url).create_bucket(
    Bucket="orders", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
)
print(json.dumps({"url": url, "id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}), flush=True)
# Until nobody listens any more.
sys.stdin.read()
server.stop()
