//! What the images hold: one script a layer, run with `$m` the mounted root of what the layers before it made.
//!
//! Every entry is given its time, so that only the digests of this machine's own software differ between machines.

/// Four layers: everything once, then removed and replaced, then opaque, then empty.
pub(super) const AWKWARD: &[&str] = &[
    r#"
    cd "$m"; umask 022
    mkdir -m 1777 tmp
    mkdir -p bin etc/conf.d gone/deep keep/dir replace/dir shadow/below times odd links
    echo one >etc/one; echo two >etc/two; echo conf >etc/conf.d/conf
    echo deep >gone/deep/file; echo x >gone/file
    echo below >shadow/below/file; echo hidden >shadow/hidden
    echo file >replace/file-to-dir; echo child >replace/dir/child; ln -s dir replace/link-to-dir
    echo kept >keep/dir/kept; echo private >keep/private; chmod 0600 keep/private; chown 1000:1001 keep/private
    echo same >links/a; ln links/a links/b; ln links/a keep/dir/c
    ln -s one etc/relative; ln -s /etc/one etc/absolute; ln -s nowhere etc/dangling; ln etc/dangling etc/dangling-too
    mknod odd/null c 1 3; mknod odd/loop b 7 0; mknod odd/big c 200 70000; mkfifo odd/fifo; chmod 0666 odd/null
    echo program >bin/capable; chmod 0755 bin/capable; setcap cap_net_raw,cap_net_bind_service+ep bin/capable
    echo program >bin/setuid; chmod 4755 bin/setuid; echo program >bin/setgid; chmod 2755 bin/setgid
    mkdir -m 2775 odd/setgid-dir; mkdir -m 0700 odd/private-dir; chown 12:34 odd/private-dir
    setfattr -n user.note -v 'a note' etc/one; setfattr -n user.binary -v 0x00ff3d0a00 etc/two
    setfattr -n user.dir -v 'on a directory' keep/dir
    echo >"odd/$(printf 'not-\377\376-utf8')"; echo >'odd/ space "quote" \back\slash'; echo >"odd/$(printf 'new\nline')"
    echo >odd/wh.not-a-whiteout; echo >odd/.dotfile; : >odd/empty; mkdir odd/empty-dir
    name() { printf "%0$1d" 0 | tr 0 "$2"; }
    echo hundred >"odd/$(name 120 h)"; echo longest >"odd/$(name 255 l)"
    mkdir -p "odd/$(name 200 p)/$(name 200 q)"; echo path >"odd/$(name 200 p)/$(name 200 q)/file"
    ln -s "../$(name 200 t)/$(name 200 u)" odd/long-target
    ln "odd/$(name 200 p)/$(name 200 q)/file" odd/link-to-long
    chown -h 4294967294:3000000 etc/dangling; echo >odd/big-ids; chown 2097152:4294967294 odd/big-ids
    head -c 100000 /dev/zero >odd/zeros; truncate -s 3000000 odd/sparse
    find . -exec touch -h -d '2021-03-04 05:06:07.123456789 UTC' {} +
    touch -d '1960-02-03 04:05:06 UTC' odd/before-1970; touch -d '2150-01-01 UTC' odd/after-2106
    touch -d '1970-01-01 UTC' odd/epoch; touch -d '2001-02-03 04:05:06.5 UTC' times; touch -d '1999-12-31 23:59:59 UTC' keep
    touch -d '2021-03-04 05:06:07 UTC' odd .
    "#,
    r#"
    cd "$m"; umask 022
    rm etc/two; rm -r gone; rm links/b
    rm replace/file-to-dir; mkdir replace/file-to-dir; echo now >replace/file-to-dir/inside
    rm -r replace/dir; echo file >replace/dir; rm replace/link-to-dir; mkdir replace/link-to-dir
    echo three >etc/three; chmod 0640 etc/one; echo more >>etc/conf.d/conf
    mkdir -p new/dir; echo new >new/dir/file; ln new/dir/file new/link
    find etc/one etc/three etc/conf.d/conf new replace -exec touch -h -d '2022-03-04 05:06:07 UTC' {} +
    touch -d '2022-01-01 UTC' etc etc/conf.d links .
    "#,
    r#"
    cd "$m"; umask 022
    rm -r shadow; mkdir -m 0750 shadow; echo seen >shadow/seen
    rm -r new/dir; mkdir new/dir; echo again >etc/two
    find shadow new etc/two -exec touch -h -d '2023-03-04 05:06:07 UTC' {} +
    touch -d '2023-01-01 UTC' etc .
    "#,
    ":",
];

/// Two layers: what a shell needs to run, and an application.
pub(super) const SMALL: &[&str] = &[
    r#"
    cd "$m"; umask 022
    mkdir -p usr/bin usr/lib usr/lib64 etc root proc sys dev run var; mkdir -m 1777 tmp
    ln -s usr/bin bin; ln -s usr/bin sbin; ln -s usr/lib lib; ln -s usr/lib64 lib64
    tools='cat chmod chown cp date dd df echo env false head id ln ls mkdir mkfifo mknod mv pwd readlink rm rmdir
           sleep sort stat sync tail test touch tr true truncate uname wc'
    for tool in $tools; do cp -Lp "$(command -v /usr/bin/$tool || command -v /bin/$tool)" usr/bin/; done
    cp -Lp /bin/sh usr/bin/sh
    for file in usr/bin/*; do ldd "$file" || :; done | grep -o '/[^ ]*' | grep -v ':$' | sort -u | while read -r library; do
        place=${library#/usr}
        mkdir -p "usr$(dirname "$place")"; cp -Lp "$library" "usr$place"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd; echo 'root:x:0:' >etc/group; echo small >etc/hostname
    find . -exec touch -h -d '2021-03-04 05:06:07 UTC' {} +
    "#,
    r#"
    cd "$m"; umask 022
    mkdir app
    printf 'greeting=hello\nlevel=1\n' >app/config.properties
    printf '#!/bin/sh\nexec cat /app/config.properties\n' >app/run.sh; chmod 0755 app/run.sh
    find app -exec touch -h -d '2022-03-04 05:06:07 UTC' {} +
    touch -d '2022-01-01 UTC' .
    "#,
];
