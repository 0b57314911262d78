import base64
import hashlib
import hmac


def scram(name, line):
    """A message of SCRAM-SHA-256: the first one, or the answer to what the broker asked last."""
    if name in ("scram-first", "scram-unknown"):
        user = LOGINS["user"].decode() if name == "scram-first" else "unknown"
        user = user.replace("=", "=3D").replace(",", "=2C")
        nonce = "".join(random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(24))
        line.scram = f"n={user},r={nonce}"
        return ("n,," + line.scram).encode()
    asked = [packet for _, packet in line.came if packet["packet"] == "AUTH" and packet["reason"] == 0x18]
    if not asked or "authentication_data" not in asked[-1]:
        return b"nothing"
    server = asked[-1]["authentication_data"].decode("utf-8", "replace")
    parts = dict(part.split("=", 1) for part in server.split(",") if "=" in part)
    if not {"r", "s", "i"} <= parts.keys():
        return b"nothing"
    password = LOGINS["password"] + (b"" if name == "scram-answer" else b"!")
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(parts["s"]), int(parts["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without_proof = f"c=biws,r={parts['r']}"
    signed = ",".join((line.scram, server, without_proof)).encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(one ^ other for one, other in zip(key, signature))
    return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()
