//! Topic Names and Topic Filters that are likely to meet, against the words of the standard.

use mqtt::{TopicError, TopicFilter, TopicName};
use proptest::prelude::*;

use crate::packets;
use crate::topics_check::{check, is_filter, is_name};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    // Few characters, so that matches happen.
    #[test]
    fn matches_as_the_standard_says(filter in "[a/+#$]{1,8}", name in "[a/$]{1,8}") {
        check(format!("{filter}\n{name}").as_bytes());
    }

    #[test]
    fn a_filter_made_of_a_name_matches_it(name in packets::topic(), replaced in any::<[bool; 5]>()) {
        let name = TopicName::new(&name).expect("a topic name");
        let levels: Vec<&str> = name
            .levels()
            .zip(replaced)
            .map(|(level, replaced)| if replaced { "+" } else { level })
            .collect();
        let filter = levels.join("/");
        prop_assume!(!filter.is_empty() && !filter.starts_with("$share/"));
        let filter = TopicFilter::new(&filter).expect("a topic filter");
        prop_assert_eq!(filter.matches(name), !(name.is_dollar() && replaced[0]));
        let multi = format!("{filter}/#");
        let multi = TopicFilter::new(&multi).expect("a topic filter");
        prop_assert_eq!(multi.matches(name), filter.matches(name));
    }

    #[test]
    fn wildcards_have_their_place(filter in prop_oneof!["[a/+#]{0,6}", "\\$share/[a/+#]{0,6}", "\\$share"]) {
        prop_assert_eq!(TopicFilter::new(&filter).is_ok(), is_filter(&filter), "{}", filter);
    }

    #[test]
    fn any_string_is_a_name_or_not(string in any::<String>()) {
        let expected = is_name(&string);
        prop_assert_eq!(TopicName::new(&string).is_ok(), expected);
        if expected {
            prop_assert_eq!(TopicName::new(&string).map(TopicName::as_str), Ok::<_, TopicError>(string.as_str()));
        }
    }
}
