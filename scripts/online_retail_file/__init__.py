"""The published file of UCI Online Retail II: its origin, its columns, how it is read and checked."""

from __future__ import annotations

import pyarrow as pa

URL = "https://archive.ics.uci.edu/static/public/502/online+retail+ii.zip"
SOURCE = "Chen, D. (2012). Online Retail II. UCI Machine Learning Repository. https://doi.org/10.24432/C5CG6D"
LICENCE = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"
PUBLISHED_FROM, PUBLISHED_TO = "2009-12-01", "2011-12-09"
BY_HAND = (
    f"download {URL} in a browser, then run: "
    "python scripts/fetch_online_retail.py --from-file <the downloaded file>"
)
FILE_NAME = "invoice_lines.parquet"

# output column: its type, and the headings that the published versions of the file give it
COLUMNS = {
    "invoice_no": ("varchar", {"invoice", "invoiceno"}),
    "stock_code": ("varchar", {"stockcode"}),
    "description": ("varchar", {"description"}),
    "quantity": ("integer", {"quantity"}),
    "invoice_at": ("timestamp", {"invoicedate", "invoiceat"}),
    "unit_price": ("double", {"price", "unitprice"}),
    "customer_id": ("integer", {"customerid"}),
    "country": ("varchar", {"country"}),
}
MAY_BE_MISSING = {"description", "customer_id"}
TEXT_SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
