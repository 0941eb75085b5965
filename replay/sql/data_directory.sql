-- where the data lies, if the server is on the client's own machine; hidden from plain logins, and then there is no row
SELECT setting FROM pg_settings
WHERE name = 'data_directory' AND (inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr())
