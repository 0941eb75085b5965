-- bare names mean the tables of the generation that is written, until the transaction ends
SELECT set_config('search_path', %(schema)s, true)
