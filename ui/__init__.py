"""What the pages share: who is signed in, the scope, numbers as text, charts, messages. No SQL, no arithmetic of finance."""
