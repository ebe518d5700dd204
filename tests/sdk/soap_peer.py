"""A SOAP service made with spyne, which nobody here wrote; run as ``python -m tests.sdk.soap_peer``: prints its port.

Every booking is kept, so that a test can ask what really happened.
"""

import time
import warnings
from wsgiref.simple_server import WSGIRequestHandler, make_server

warnings.simplefilter("ignore")

from spyne import Application, Fault, Integer, ServiceBase, Unicode, rpc  # noqa: E402
from spyne.protocol.soap import Soap11  # noqa: E402
from spyne.server.wsgi import WsgiApplication  # noqa: E402

BOOKED: list[str] = []


class Points(ServiceBase):
    @rpc(Unicode, Integer, _returns=Unicode)
    def add(ctx, ref, points):
        if points > 1000:
            raise Fault("Client.TooMany", "积分过多")
        BOOKED.append(f"{ref}={points}")
        if ref == "slow":
            time.sleep(1)
        return f"会员{points}"

    @rpc(_returns=Unicode)
    def booked(ctx):
        return ",".join(BOOKED)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    service = Application([Points], tns="urn:points", in_protocol=Soap11(validator="lxml"), out_protocol=Soap11())
    with make_server("127.0.0.1", 0, WsgiApplication(service), handler_class=Quiet) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
