-- What feeds propose for a security somebody wants to add, and the taxonomy that the proposals are written in.

-- ── lookups: the page asks by a row, the scheduler answers in it ────────────────────────────────────────────
CREATE TABLE lookups (
  lookup_id   uuid PRIMARY KEY DEFAULT uuidv7(),
  asked       text NOT NULL CHECK (length(trim(asked)) BETWEEN 1 AND 80),
  asked_by    uuid NOT NULL REFERENCES users,
  asked_at    timestamptz NOT NULL DEFAULT now(),
  state       text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'answered', 'failed')),
  claimed_at  timestamptz,                                         -- somebody works on it since
  attempts    smallint NOT NULL DEFAULT 0,
  answered_at timestamptz,
  candidates  jsonb NOT NULL DEFAULT '[]',                         -- profiles, see core/profiles.py
  error       text,
  CHECK ((state = 'asked') = (answered_at IS NULL))
);
CREATE INDEX lookups_open ON lookups (asked_at) WHERE state = 'asked';
CREATE INDEX lookups_by ON lookups (asked_by);
ALTER TABLE lookups ENABLE ROW LEVEL SECURITY;
ALTER TABLE lookups FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON lookups TO ballast_owner USING (true) WITH CHECK (true);
CREATE POLICY jobs_all ON lookups TO ballast_jobs USING (true) WITH CHECK (true);
CREATE POLICY web_reads ON lookups FOR SELECT TO ballast_web USING (asked_by = app_user());
CREATE POLICY web_asks ON lookups FOR INSERT TO ballast_web WITH CHECK (asked_by = app_user()
  AND EXISTS (SELECT FROM users WHERE user_id = app_user() AND role <> 'viewer'));
GRANT SELECT, INSERT (asked, asked_by) ON lookups TO ballast_web;
GRANT SELECT, UPDATE (state, claimed_at, attempts, answered_at, candidates, error), DELETE ON lookups TO ballast_jobs;
CREATE FUNCTION tell_lookups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('ballast_lookups', ''); RETURN NULL; END $$;
REVOKE ALL ON FUNCTION tell_lookups() FROM PUBLIC;
CREATE TRIGGER tell AFTER INSERT ON lookups FOR EACH STATEMENT EXECUTE FUNCTION tell_lookups();

-- ── the taxonomy: industries under our sectors, and every country ───────────────────────────────────────────
-- by the names that feeds publish; then those of the GICS that the replay's companies go by. What is there keeps its number.
INSERT INTO sectors (sector, industry)
SELECT sector, unnest(industries) FROM (VALUES
  ('Communication Services', ARRAY[
    'Advertising Agencies', 'Broadcasting', 'Electronic Gaming & Multimedia', 'Entertainment', 'Internet Content & Information', 'Publishing',
    'Telecom Services']),
  ('Consumer Discretionary', ARRAY[
    'Apparel Manufacturing', 'Apparel Retail', 'Auto & Truck Dealerships', 'Auto Manufacturers', 'Auto Parts', 'Department Stores',
    'Footwear & Accessories', 'Furnishings, Fixtures & Appliances', 'Gambling', 'Home Improvement Retail', 'Internet Retail', 'Leisure', 'Lodging',
    'Luxury Goods', 'Packaging & Containers', 'Personal Services', 'Recreational Vehicles', 'Residential Construction', 'Resorts & Casinos',
    'Restaurants', 'Specialty Retail', 'Textile Manufacturing', 'Travel Services']),
  ('Consumer Staples', ARRAY[
    'Beverages - Brewers', 'Beverages - Non-Alcoholic', 'Beverages - Wineries & Distilleries', 'Confectioners', 'Discount Stores',
    'Education & Training Services', 'Farm Products', 'Food Distribution', 'Grocery Stores', 'Household & Personal Products', 'Packaged Foods',
    'Tobacco', 'Beverages', 'Consumer Staples Distribution & Retail', 'Household Products']),
  ('Energy', ARRAY[
    'Oil & Gas Drilling', 'Oil & Gas E&P', 'Oil & Gas Equipment & Services', 'Oil & Gas Integrated', 'Oil & Gas Midstream',
    'Oil & Gas Refining & Marketing', 'Thermal Coal', 'Uranium', 'Oil, Gas & Consumable Fuels']),
  ('Financials', ARRAY[
    'Asset Management', 'Banks - Diversified', 'Banks - Regional', 'Capital Markets', 'Credit Services', 'Financial Conglomerates',
    'Financial Data & Stock Exchanges', 'Insurance - Diversified', 'Insurance - Life', 'Insurance - Property & Casualty', 'Insurance - Reinsurance',
    'Insurance - Specialty', 'Insurance Brokers', 'Mortgage Finance', 'Shell Companies', 'Banks']),
  ('Health Care', ARRAY[
    'Biotechnology', 'Diagnostics & Research', 'Drug Manufacturers - General', 'Drug Manufacturers - Specialty & Generic',
    'Health Information Services', 'Healthcare Plans', 'Medical Care Facilities', 'Medical Devices', 'Medical Distribution',
    'Medical Instruments & Supplies', 'Pharmaceutical Retailers', 'Health Care Providers & Services', 'Pharmaceuticals']),
  ('Industrials', ARRAY[
    'Aerospace & Defense', 'Airlines', 'Airports & Air Services', 'Building Products & Equipment', 'Business Equipment & Supplies', 'Conglomerates',
    'Consulting Services', 'Electrical Equipment & Parts', 'Engineering & Construction', 'Farm & Heavy Construction Machinery',
    'Industrial Distribution', 'Infrastructure Operations', 'Integrated Freight & Logistics', 'Marine Shipping', 'Metal Fabrication',
    'Pollution & Treatment Controls', 'Railroads', 'Rental & Leasing Services', 'Security & Protection Services', 'Specialty Business Services',
    'Specialty Industrial Machinery', 'Staffing & Employment Services', 'Tools & Accessories', 'Trucking', 'Waste Management']),
  ('Information Technology', ARRAY[
    'Communication Equipment', 'Computer Hardware', 'Consumer Electronics', 'Electronic Components', 'Electronics & Computer Distribution',
    'Information Technology Services', 'Scientific & Technical Instruments', 'Semiconductor Equipment & Materials', 'Semiconductors',
    'Software - Application', 'Software - Infrastructure', 'Solar', 'Semiconductors & Semiconductor Equipment', 'Software',
    'Technology Hardware, Storage & Peripherals']),
  ('Materials', ARRAY[
    'Agricultural Inputs', 'Aluminum', 'Building Materials', 'Chemicals', 'Coking Coal', 'Copper', 'Gold', 'Lumber & Wood Production',
    'Other Industrial Metals & Mining', 'Other Precious Metals & Mining', 'Paper & Paper Products', 'Silver', 'Specialty Chemicals', 'Steel']),
  ('Real Estate', ARRAY[
    'REIT - Diversified', 'REIT - Healthcare Facilities', 'REIT - Hotel & Motel', 'REIT - Industrial', 'REIT - Mortgage', 'REIT - Office',
    'REIT - Residential', 'REIT - Retail', 'REIT - Specialty', 'Real Estate - Development', 'Real Estate - Diversified', 'Real Estate Services']),
  ('Utilities', ARRAY[
    'Utilities - Diversified', 'Utilities - Independent Power Producers', 'Utilities - Regulated Electric', 'Utilities - Regulated Gas',
    'Utilities - Regulated Water', 'Utilities - Renewable'])) AS seeds (sector, industries)
ON CONFLICT DO NOTHING;
INSERT INTO countries VALUES
  ('AD','Andorra','Europe'), ('AE','United Arab Emirates','Middle East'), ('AF','Afghanistan','Asia'), ('AG','Antigua and Barbuda','Latin America'),
  ('AI','Anguilla','Latin America'), ('AL','Albania','Europe'), ('AM','Armenia','Asia'), ('AO','Angola','Africa'), ('AQ','Antarctica','Oceania'),
  ('AR','Argentina','Latin America'), ('AS','American Samoa','Oceania'), ('AW','Aruba','Latin America'), ('AX','Åland Islands','Europe'),
  ('AZ','Azerbaijan','Asia'), ('BA','Bosnia and Herzegovina','Europe'), ('BB','Barbados','Latin America'), ('BD','Bangladesh','Asia'),
  ('BF','Burkina Faso','Africa'), ('BG','Bulgaria','Europe'), ('BH','Bahrain','Middle East'), ('BI','Burundi','Africa'), ('BJ','Benin','Africa'),
  ('BL','Saint Barthélemy','Latin America'), ('BN','Brunei','Asia'), ('BO','Bolivia','Latin America'),
  ('BQ','Caribbean Netherlands','Latin America'), ('BS','Bahamas','Latin America'), ('BT','Bhutan','Asia'), ('BV','Bouvet Island','Africa'),
  ('BW','Botswana','Africa'), ('BY','Belarus','Europe'), ('BZ','Belize','Latin America'), ('CC','Cocos (Keeling) Islands','Oceania'),
  ('CD','DR Congo','Africa'), ('CF','Central African Rep.','Africa'), ('CG','Congo','Africa'), ('CI','Ivory Coast','Africa'),
  ('CK','Cook Islands','Oceania'), ('CL','Chile','Latin America'), ('CM','Cameroon','Africa'), ('CO','Colombia','Latin America'),
  ('CR','Costa Rica','Latin America'), ('CU','Cuba','Latin America'), ('CV','Cape Verde','Africa'), ('CW','Curaçao','Latin America'),
  ('CX','Christmas Island','Oceania'), ('CY','Cyprus','Europe'), ('CZ','Czech Republic','Europe'), ('DJ','Djibouti','Africa'),
  ('DM','Dominica','Latin America'), ('DO','Dominican Republic','Latin America'), ('DZ','Algeria','Africa'), ('EC','Ecuador','Latin America'),
  ('EE','Estonia','Europe'), ('EG','Egypt','Africa'), ('EH','Western Sahara','Africa'), ('ER','Eritrea','Africa'), ('ET','Ethiopia','Africa'),
  ('FJ','Fiji','Oceania'), ('FK','Falkland Islands','Latin America'), ('FM','Micronesia','Oceania'), ('FO','Faroe Islands','Europe'),
  ('GA','Gabon','Africa'), ('GD','Grenada','Latin America'), ('GE','Georgia','Asia'), ('GF','French Guiana','Latin America'),
  ('GG','Guernsey','Europe'), ('GH','Ghana','Africa'), ('GI','Gibraltar','Europe'), ('GL','Greenland','North America'), ('GM','Gambia','Africa'),
  ('GN','Guinea','Africa'), ('GP','Guadeloupe','Latin America'), ('GQ','Equatorial Guinea','Africa'), ('GR','Greece','Europe'),
  ('GS','South Georgia and the South Sandwich Islands','Latin America'), ('GT','Guatemala','Latin America'), ('GU','Guam','Oceania'),
  ('GW','Guinea-Bissau','Africa'), ('GY','Guyana','Latin America'), ('HM','Heard Island and McDonald Islands','Oceania'),
  ('HN','Honduras','Latin America'), ('HR','Croatia','Europe'), ('HT','Haiti','Latin America'), ('HU','Hungary','Europe'),
  ('ID','Indonesia','Asia'), ('IM','Isle of Man','Europe'), ('IO','British Indian Ocean Territory','Asia'), ('IQ','Iraq','Middle East'),
  ('IR','Iran','Middle East'), ('IS','Iceland','Europe'), ('JM','Jamaica','Latin America'), ('JO','Jordan','Middle East'), ('KE','Kenya','Africa'),
  ('KG','Kyrgyzstan','Asia'), ('KH','Cambodia','Asia'), ('KI','Kiribati','Oceania'), ('KM','Comoros','Africa'),
  ('KN','Saint Kitts and Nevis','Latin America'), ('KP','North Korea','Asia'), ('KW','Kuwait','Middle East'), ('KZ','Kazakhstan','Asia'),
  ('LA','Laos','Asia'), ('LB','Lebanon','Middle East'), ('LC','Saint Lucia','Latin America'), ('LI','Liechtenstein','Europe'),
  ('LK','Sri Lanka','Asia'), ('LR','Liberia','Africa'), ('LS','Lesotho','Africa'), ('LT','Lithuania','Europe'), ('LV','Latvia','Europe'),
  ('LY','Libya','Africa'), ('MA','Morocco','Africa'), ('MC','Monaco','Europe'), ('MD','Moldova','Europe'), ('ME','Montenegro','Europe'),
  ('MF','Saint Martin','Latin America'), ('MG','Madagascar','Africa'), ('MH','Marshall Islands','Oceania'), ('MK','North Macedonia','Europe'),
  ('ML','Mali','Africa'), ('MM','Myanmar','Asia'), ('MN','Mongolia','Asia'), ('MO','Macao','Asia'), ('MP','Northern Mariana Islands','Oceania'),
  ('MQ','Martinique','Latin America'), ('MR','Mauritania','Africa'), ('MS','Montserrat','Latin America'), ('MT','Malta','Europe'),
  ('MU','Mauritius','Africa'), ('MV','Maldives','Asia'), ('MW','Malawi','Africa'), ('MY','Malaysia','Asia'), ('MZ','Mozambique','Africa'),
  ('NA','Namibia','Africa'), ('NC','New Caledonia','Oceania'), ('NE','Niger','Africa'), ('NF','Norfolk Island','Oceania'),
  ('NG','Nigeria','Africa'), ('NI','Nicaragua','Latin America'), ('NP','Nepal','Asia'), ('NR','Nauru','Oceania'), ('NU','Niue','Oceania'),
  ('OM','Oman','Middle East'), ('PA','Panama','Latin America'), ('PE','Peru','Latin America'), ('PF','French Polynesia','Oceania'),
  ('PG','Papua New Guinea','Oceania'), ('PH','Philippines','Asia'), ('PK','Pakistan','Asia'), ('PM','Saint Pierre and Miquelon','North America'),
  ('PN','Pitcairn','Oceania'), ('PR','Puerto Rico','Latin America'), ('PS','Palestine','Middle East'), ('PW','Palau','Oceania'),
  ('PY','Paraguay','Latin America'), ('QA','Qatar','Middle East'), ('RE','Réunion','Africa'), ('RO','Romania','Europe'), ('RS','Serbia','Europe'),
  ('RU','Russia','Europe'), ('RW','Rwanda','Africa'), ('SA','Saudi Arabia','Middle East'), ('SB','Solomon Islands','Oceania'),
  ('SC','Seychelles','Africa'), ('SD','Sudan','Africa'), ('SH','Saint Helena','Africa'), ('SI','Slovenia','Europe'),
  ('SJ','Svalbard and Jan Mayen','Europe'), ('SK','Slovakia','Europe'), ('SL','Sierra Leone','Africa'), ('SM','San Marino','Europe'),
  ('SN','Senegal','Africa'), ('SO','Somalia','Africa'), ('SR','Suriname','Latin America'), ('SS','South Sudan','Africa'),
  ('ST','São Tomé and Príncipe','Africa'), ('SV','El Salvador','Latin America'), ('SX','Sint Maarten','Latin America'),
  ('SY','Syria','Middle East'), ('SZ','Eswatini','Africa'), ('TC','Turks and Caicos Islands','Latin America'), ('TD','Chad','Africa'),
  ('TF','French Southern Territories','Africa'), ('TG','Togo','Africa'), ('TH','Thailand','Asia'), ('TJ','Tajikistan','Asia'),
  ('TK','Tokelau','Oceania'), ('TL','Timor-Leste','Asia'), ('TM','Turkmenistan','Asia'), ('TN','Tunisia','Africa'), ('TO','Tonga','Oceania'),
  ('TR','Turkey','Middle East'), ('TT','Trinidad and Tobago','Latin America'), ('TV','Tuvalu','Oceania'), ('TZ','Tanzania','Africa'),
  ('UA','Ukraine','Europe'), ('UG','Uganda','Africa'), ('UM','US Minor Outlying Islands','North America'), ('UY','Uruguay','Latin America'),
  ('UZ','Uzbekistan','Asia'), ('VA','Vatican City','Europe'), ('VC','Saint Vincent and the Grenadines','Latin America'),
  ('VE','Venezuela','Latin America'), ('VG','British Virgin Islands','Latin America'), ('VI','US Virgin Islands','Latin America'),
  ('VN','Vietnam','Asia'), ('VU','Vanuatu','Oceania'), ('WF','Wallis and Futuna','Oceania'), ('WS','Samoa','Oceania'), ('YE','Yemen','Middle East'),
  ('YT','Mayotte','Africa'), ('ZM','Zambia','Africa'), ('ZW','Zimbabwe','Africa')
ON CONFLICT DO NOTHING;
