"""What a name of a site, a study or a run may be: it is also that of a file."""

import re
from typing import Annotated, Final

from pydantic import Field

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
SiteName = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
