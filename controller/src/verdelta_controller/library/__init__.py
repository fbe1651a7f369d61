"""The definitive media library (DML): the only source that installs draw from."""
