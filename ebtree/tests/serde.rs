//! Maps as serde writes and reads them.
#![cfg(not(loom))]

use ebtree::EbTree;

#[test]
fn written_in_order_and_read_back() {
    let tree = EbTree::from([(300_u32, 'c'), (2, 'a'), (40, 'b')]);
    let text = serde_json::to_string(&tree).unwrap();
    assert_eq!(text, r#"{"2":"a","40":"b","300":"c"}"#);
    let back: EbTree<u32, char> = serde_json::from_str(&text).unwrap();
    assert!(back.into_iter().eq(tree));
    let empty: EbTree<u32, u32> = serde_json::from_str("{}").unwrap();
    assert_eq!((empty.is_empty(), serde_json::to_string(&empty).unwrap()), (true, "{}".into()));
}

#[test]
fn of_duplicates_the_last_stays() {
    let tree: EbTree<u32, u32> = serde_json::from_str(r#"{"1": 10, "2": 20, "1": 11}"#).unwrap();
    assert!(tree.into_iter().eq([(1, 11), (2, 20)]));
}

#[test]
fn what_is_no_map_is_refused() {
    assert!(serde_json::from_str::<EbTree<u32, u32>>("[1, 2]").is_err());
    let error = serde_json::from_str::<EbTree<u32, u32>>(r#"{"1": 10, "2": "x"}"#);
    assert!(error.unwrap_err().to_string().contains("u32"), "halfway, too");
    let error = serde_json::from_str::<EbTree<u32, u32>>("7").unwrap_err().to_string();
    assert!(error.contains("expected a map"), "{error}");
}
