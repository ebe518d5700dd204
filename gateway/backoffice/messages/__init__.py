"""Messages to members about what has happened: chosen by the merchant's file, sent beside all other work.

``taking`` turns events of the feed into messages, in the transaction that moves the place in the feed on, so that each
event makes each message once; ``sending`` sends them by the rules of the engine; ``values`` is what they say. No sale
waits for a message.
"""
