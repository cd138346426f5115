"""The only home of SQL: tables, migrations, reads and writes. Imports core; nothing is imported here on purpose."""
