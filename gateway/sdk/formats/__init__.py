"""Formats of files and messages, readers and writers: fixed width, separated values, DBF, XML, ISO 8583.

Readers take bytes and raise only ``ParseError``, with the line or the field; bytes are cut first and decoded after.
"""
