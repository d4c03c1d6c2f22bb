class Refused(Exception):
    """Why a file is not taken. `code` is for counting, the text, one sentence, for whoever sent the file."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
