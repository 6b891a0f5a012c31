"""What Streamlit runs: `bayespilot app` names the source in the environment."""

import os

from models_ml.app.page import show
from models_ml.app.start import SOURCE_VARIABLE

if __name__ == "__main__":
    show(os.environ.get(SOURCE_VARIABLE, "demo"))
