"""Building a generation beside the live one: alone or shared out, from the log, an archive or the store."""
