/// How the page looks: one style for light and dark, for screens of 1280 pixels and for phones.
let pageStyle = """
    :root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1d2125;--dim:#626a73;--line:#e2e4e7;--grid:#eceef0;
    --guide:#9aa1aa;--ceiling:#2b65d9;--over:#d97706;--sure:#0f8a6d;--bad:#c2362b;--warn-bg:#fff6e3;--warn:#7a4d00;
    --good-bg:#e7f6f0;--c1:#2b65d9;--c2:#0f8a6d;--c3:#d97706;--c4:#a98bd6}
    @media (prefers-color-scheme:dark){:root{--bg:#131619;--card:#1b1f24;--ink:#e7eaee;--dim:#9aa4af;--line:#2d333a;
    --grid:#262c33;--guide:#7d8791;--ceiling:#6ea0ff;--over:#f2a33a;--sure:#4bc7a4;--bad:#ff7b6e;--warn-bg:#332810;
    --warn:#f3cf87;--good-bg:#12332a;--c1:#6ea0ff;--c2:#4bc7a4;--c3:#f2a33a;--c4:#a98bd6}}
    *{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);
    font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
    main{max-width:1200px;margin:0 auto;padding:28px 24px 48px}
    h1{font-size:27px;line-height:1.2;margin:0 0 6px}h2{font-size:18px;margin:36px 0 10px}h3{font-size:14.5px;margin:0 0 2px}
    p{margin:6px 0}code{font:13px ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
    .dim,figcaption{color:var(--dim)}.lead{font-size:17px;max-width:75ch}
    .facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:20px 0}
    .fact{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
    .fact b{display:block;font-size:23px;line-height:1.25}.fact span{color:var(--dim);font-size:13px}
    .note{background:var(--warn-bg);color:var(--warn);border-radius:8px;padding:10px 14px;margin:8px 0}
    .good{background:var(--good-bg);border-radius:8px;padding:10px 14px;margin:8px 0}
    .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,355px),1fr));gap:16px}
    figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 14px 10px}
    figcaption{font-size:13px;line-height:1.4;margin-top:6px}svg{display:block;width:100%;height:auto}
    .key{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:12.5px;color:var(--dim);margin:2px 0 6px}
    .key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}
    table{border-collapse:collapse;width:100%;background:var(--card);font-variant-numeric:tabular-nums}
    .wrap{border:1px solid var(--line);border-radius:10px;overflow-x:auto;background:var(--card)}
    th,td{padding:9px 12px;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}
    tr:last-child>*{border-bottom:0}
    th:first-child,td:first-child{text-align:left}thead th{font-size:13px;color:var(--dim);font-weight:600;line-height:1.3}
    td b{font-size:17px}td small{display:block;color:var(--dim);font-size:12px;line-height:1.35}small.bad{color:var(--bad)}
    .heat td,.heat thead th:not(:first-child){text-align:center}.heat th{white-space:nowrap}.heat .here{outline:2px solid var(--ceiling);outline-offset:-2px}
    ul{padding-left:20px;margin:6px 0}li{margin:5px 0;max-width:90ch}footer{margin-top:36px;color:var(--dim);font-size:13px}
    .grid{stroke:var(--grid);stroke-width:1}.tick{fill:var(--dim);font-size:11px}
    text{font-family:inherit;fill:var(--ink);font-size:11.5px}text.tick,text.note{fill:var(--dim);font-size:11px}
    text.inside{fill:var(--card)}text.value{font-size:11.5px;font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}
    .f-guide{fill:var(--guide)}.f-ceiling{fill:var(--ceiling)}.f-over{fill:var(--over)}.f-sure{fill:var(--sure)}
    .f-bad{fill:var(--bad)}.b-guide{background:var(--guide)}.b-ceiling{background:var(--ceiling)}
    .b-over{background:var(--over)}.b-sure{background:var(--sure)}.b-bad{background:var(--bad)}
    .c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}
    .b-c1{background:var(--c1)}.b-c2{background:var(--c2)}.b-c3{background:var(--c3)}.b-c4{background:var(--c4)}
    .ring{fill:none;stroke:var(--guide);stroke-width:1.5}.cut{fill:none;stroke:var(--bad);stroke-width:2}
    .run{fill:none;stroke:var(--ceiling);stroke-width:1;opacity:.38}.high{fill:none;stroke:var(--over);stroke-width:1.8}
    .l-ceiling{stroke:var(--ceiling);stroke-width:1.6;stroke-dasharray:5 3;fill:none}
    .l-bad{stroke:var(--bad);stroke-width:1.4;stroke-dasharray:2 3;fill:none}
    .l-over{stroke:var(--over);stroke-width:2.2;fill:none}.l-sure{stroke:var(--sure);stroke-width:2.2;fill:none}
    .l-guide{stroke:var(--guide);stroke-width:1.4;stroke-dasharray:5 3;fill:none}
    .l-risk{stroke:var(--dim);stroke-width:1.2;stroke-dasharray:2 3;fill:none}
    @media (max-width:640px){main{padding:18px 14px 36px}h1{font-size:22px}.lead{font-size:16px}
    .facts{grid-template-columns:1fr 1fr}.fact b{font-size:20px}
    .stack thead{display:none}.stack tr{display:block;padding:8px 12px;border-bottom:1px solid var(--line)}
    .stack tr:last-child{border-bottom:0}
    .stack th,.stack td{display:flex;justify-content:space-between;gap:14px;border:0;padding:4px 0;text-align:right}
    .stack td::before{content:attr(data-label);color:var(--dim);font-size:13px;text-align:left}
    .tick,text.tick,text.note{font-size:12.5px}text,text.value{font-size:13px}
    .stack th{font-size:17px}th,td{padding:7px 8px}
    .heat th,.heat td{padding:7px 3px;font-size:12.5px}.heat thead th{white-space:normal;font-size:12px}
    .heat th:first-child{padding-left:10px}}
    @media print{body{background:#fff}figure,.fact,.wrap{break-inside:avoid}}
    """
