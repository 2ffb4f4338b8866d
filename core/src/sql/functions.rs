//! The functions that servers bring with them, and the keywords that a parenthesis may follow.
//!
//! Whatever else stands before a parenthesis in a read may be a stored function, and a stored function may write. So a name
//! that is missing here costs a read its replica; a name too many may cost a write its primary. Therefore only those stand here
//! that MySQL 8.0 and MariaDB 10.6 both have, and parse as their own with any arguments: where a server does not know
//! `any_value`, `uuid_to_bin` or `nvl`, people give it one of their own, and MariaDB takes `POINT(1)` for a stored function.
//! Those of MariaDB alone count where all servers are ([`Dialect::mariadb`]).
//! What components bring is left out too. Functions with rules of their own are in the table of rules.
//!
//! Sources: MySQL 8.4 manual, "Built-In Function and Operator Reference"; MariaDB 10.11's `information_schema.SQL_FUNCTIONS`;
//! and MariaDB 10.11 itself, made to run a stored function under every name here and under every keyword.

use super::token::Dialect;

/// Pure, or with no effect beyond the statement. Sorted.
#[rustfmt::skip]
const BUILT_IN: &[&str] = &[
    "abs", "acos", "adddate", "addtime", "aes_decrypt", "aes_encrypt", "ascii", "asin", "atan", "atan2", "avg",
    "benchmark", "bin", "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor", "cast", "ceil", "ceiling", "char",
    "char_length", "character_length", "charset", "coalesce", "coercibility", "collation", "compress", "concat",
    "concat_ws", "conv", "convert", "convert_tz", "cos", "cot", "count", "crc32", "cume_dist", "curdate",
    "current_date", "current_time", "current_timestamp", "curtime", "database", "date", "date_add", "date_format",
    "date_sub", "datediff", "day", "dayname", "dayofmonth", "dayofweek", "dayofyear", "default", "degrees",
    "dense_rank", "elt", "exp", "export_set", "extract", "extractvalue", "field", "find_in_set", "first_value", "floor",
    "format", "from_base64", "from_days", "from_unixtime", "get_format", "greatest", "group_concat", "hex", "hour",
    "if", "ifnull", "inet6_aton", "inet6_ntoa", "inet_aton", "inet_ntoa", "insert", "instr", "is_ipv4",
    "is_ipv4_compat", "is_ipv4_mapped", "is_ipv6", "isnull", "json_array", "json_array_append", "json_array_insert",
    "json_arrayagg", "json_contains", "json_contains_path", "json_depth", "json_extract", "json_insert", "json_keys",
    "json_length", "json_merge_patch", "json_merge_preserve", "json_object", "json_objectagg", "json_overlaps",
    "json_pretty", "json_quote", "json_remove", "json_replace", "json_search", "json_set", "json_type", "json_unquote",
    "json_valid", "json_value", "lag", "last_day", "last_value", "lcase", "lead", "least", "left", "length", "ln",
    "localtime", "localtimestamp", "locate", "log", "log10", "log2", "lower", "lpad", "ltrim", "make_set", "makedate",
    "maketime", "match", "max", "md5", "microsecond", "mid", "min", "minute", "mod", "month", "monthname", "name_const",
    "now", "nth_value", "ntile", "nullif", "oct", "octet_length", "ord", "percent_rank", "period_add", "period_diff",
    "pi", "position", "pow", "power", "quarter", "quote", "radians", "rand", "random_bytes", "rank", "regexp_instr",
    "regexp_replace", "regexp_substr", "repeat", "replace", "reverse", "right", "round", "row", "row_number", "rpad",
    "rtrim", "schema", "sec_to_time", "second", "sha", "sha1", "sha2", "sign", "sin", "sleep", "soundex", "space",
    "sqrt", "st_area", "st_asbinary", "st_asgeojson", "st_astext", "st_aswkb", "st_aswkt", "st_buffer", "st_centroid",
    "st_contains", "st_convexhull", "st_crosses", "st_difference", "st_dimension", "st_disjoint", "st_distance",
    "st_distance_sphere", "st_endpoint", "st_envelope", "st_equals", "st_exteriorring", "st_geomcollfromtext",
    "st_geometryn", "st_geometrytype", "st_geomfromgeojson", "st_geomfromtext", "st_geomfromwkb", "st_interiorringn",
    "st_intersection", "st_intersects", "st_isclosed", "st_isempty", "st_issimple", "st_length", "st_linefromtext",
    "st_linefromwkb", "st_mlinefromtext", "st_mpointfromtext", "st_mpolyfromtext", "st_numgeometries",
    "st_numinteriorrings", "st_numpoints", "st_overlaps", "st_pointfromtext", "st_pointfromwkb", "st_pointn",
    "st_polyfromtext", "st_polyfromwkb", "st_srid", "st_startpoint", "st_symdifference", "st_touches", "st_union",
    "st_within", "st_x", "st_y", "std", "stddev", "stddev_pop", "stddev_samp", "str_to_date", "strcmp", "subdate",
    "substr", "substring", "substring_index", "subtime", "sum", "sysdate", "tan", "time", "time_format", "time_to_sec",
    "timediff", "timestamp", "timestampadd", "timestampdiff", "to_base64", "to_days", "to_seconds", "trim", "truncate",
    "ucase", "uncompress", "uncompressed_length", "unhex", "unix_timestamp", "updatexml", "upper", "utc_date",
    "utc_time", "utc_timestamp", "uuid", "values", "var_pop", "var_samp", "variance", "week", "weekday", "weekofyear",
    "weight_string", "year", "yearweek",
];

/// The same, of MariaDB 10.11 alone. Sorted.
#[rustfmt::skip]
const OF_MARIADB: &[&str] = &[
    "add_months", "chr", "column_add", "column_check", "column_create", "column_delete", "column_exists",
    "column_get", "column_json", "column_list", "concat_operator_oracle", "crc32c", "decode", "decode_histogram",
    "decode_oracle", "des_decrypt", "des_encrypt", "encode", "encrypt", "json_compact", "json_detailed",
    "json_equals", "json_exists", "json_loose", "json_merge", "json_normalize", "json_query", "lengthb",
    "lpad_oracle", "ltrim_oracle", "median", "natural_sort_key", "nvl", "nvl2", "old_password", "password",
    "percentile_cont", "percentile_disc", "replace_oracle", "rpad_oracle", "rtrim_oracle", "sformat", "substr_oracle",
    "sys_guid", "to_char", "trim_oracle",
];

/// Reserved words of all servers: what they call, if anything, is no stored function, even behind a space. Sorted.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "all", "and", "as", "between", "binary", "by", "case", "char", "convert", "database", "decimal", "default",
    "distinct", "distinctrow", "div", "double", "else", "exists", "float", "from", "having", "if", "in", "index",
    "inner", "insert", "interval", "is", "join", "key", "left", "like", "limit", "match", "mod", "not", "numeric", "on",
    "or", "partition", "real", "regexp", "repeat", "replace", "right", "rlike", "schema", "select",
    "straight_join", "then", "union", "update", "using", "values", "varbinary", "varchar", "when", "where", "with",
    "xor",
];

/// The longest name in the lists, in bytes.
const NAME_BYTES_MAX: usize = 30;

/// Whether `name`, in any case, is a function that the servers bring with them and that has no rule.
pub(super) fn is_built_in(name: &[u8], dialect: Dialect) -> bool {
    contains(BUILT_IN, name) || (dialect.mariadb && contains(OF_MARIADB, name))
}

/// Whether `name`, in any case, is a keyword: `name (` is no call.
pub(super) fn is_keyword(name: &[u8]) -> bool {
    contains(KEYWORDS, name)
}

fn contains(sorted: &[&str], name: &[u8]) -> bool {
    let mut lower = [0; NAME_BYTES_MAX];
    let Some(lower) = lower.get_mut(..name.len()) else { return false };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    sorted.binary_search_by(|known| known.as_bytes().cmp(lower)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_lower_case_and_within_the_limit() {
        for list in [BUILT_IN, OF_MARIADB, KEYWORDS] {
            assert!(list.is_sorted_by(|a, b| a < b));
            assert!(list.iter().all(|name| name.len() <= NAME_BYTES_MAX && name.to_ascii_lowercase() == *name));
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_only_whole() {
        let mariadb = Dialect { mariadb: true, ..Dialect::default() };
        let is_built_in = |name| is_built_in(name, mariadb);
        assert!(is_built_in(b"Count") && is_built_in(b"JSON_MERGE_PRESERVE") && is_keyword(b"IN"));
        assert!(is_built_in(b"Nvl") && !super::is_built_in(b"nvl", Dialect::default()));
        for name in [&b""[..], b"coun", b"counts", b"get_lock", b"point", &[b'a'; 200], b"\xff"] {
            assert!(!is_built_in(name) && !is_keyword(name));
        }
    }
}
