-- The country is dated as class and sector are. Of what was recorded before, the country that a security has now is all that is known.
ALTER TABLE security_classifications ADD COLUMN country text REFERENCES countries;
ALTER TABLE security_classifications DISABLE TRIGGER USER;         -- what is written otherwise is no news, and no change by somebody
UPDATE security_classifications k SET country = s.country FROM securities s WHERE s.security_id = k.security_id AND s.country IS NOT NULL;
ALTER TABLE security_classifications ENABLE TRIGGER USER;
